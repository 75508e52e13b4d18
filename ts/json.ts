// JSON from files: JSON.parse with a limit to the nesting. JSON.parse itself takes any depth; what walks the value afterwards (JSON.stringify too) would
// run out of stack at some thousands. It checks nothing else; the strict reader of safetensors headers is ts/io's.

const MAX_DEPTH = 128;

/**
 * The value of a JSON text.
 * @throws SyntaxError for a text that is not JSON or nests lists and objects more than 128 deep
 */
export function parseJson(text: string): unknown {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) i = endOfString(text, i);
    else if (code === 0x5b || code === 0x7b) {
      depth++;
      if (depth > MAX_DEPTH) throw new SyntaxError(`lists and objects more than ${MAX_DEPTH} deep in JSON at position ${i}`);
    } else if (code === 0x5d || code === 0x7d) depth--;
  }
  return JSON.parse(text);
}

/** Where the string that begins at `at` ends; the text's end if it does not. */
function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}
