// Patterns by which users name parts of a model: dotted paths with `*`. Which paths there are is the model's business.

/** Whether a text is the pattern's, `*` standing for any text, also none. Takes at most text × pattern steps, whatever the pattern is. */
export function matchesText(pattern: string, text: string): boolean {
  let [at, read] = [0, 0];
  let star = -1;
  let resume = 0;
  while (read < text.length) {
    if (pattern[at] === '*') {
      star = at++;
      resume = read;
    } else if (pattern[at] === text[read]) {
      at++;
      read++;
    } else if (star >= 0) {
      at = star + 1;
      read = ++resume; // the last star takes one more
    } else return false;
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

/**
 * Whether a pattern means a path: the whole of it or its end, from the beginning of a part on (`attn.c_attn` means `h.0.attn.c_attn`, `c_attn` too, `attn` neither).
 * @param inside also where it means a module above the path: `attn` then means `h.0.attn.c_attn`
 */
export function matchesPath(pattern: string, path: string, inside = false): boolean {
  const dots = Array.from(path.matchAll(/\./g), ({ index }) => index);
  const ends = inside ? [...dots, path.length] : [path.length];
  return [0, ...dots.map((dot) => dot + 1)].some((start) =>
    ends.some((end) => end >= start && matchesText(pattern, path.slice(start, end))),
  );
}
