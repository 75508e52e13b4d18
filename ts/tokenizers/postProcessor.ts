// The post-processors of tokenizer.json as far as they touch ids: the special tokens put before and after a text when they are asked for.
import { asObject, flatten, idOf, invalid, type JsonObject, listOf, show, textOf, typeOf, unsupported } from './json';

/** Ids before and after a text's own. */
export interface Frame {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** A pair such as `["</s>", 2]`. */
function namedId(value: unknown, name: string): number {
  const pair = listOf(value, name);
  if (pair.length !== 2) throw invalid(`${name}: must be a token and its id, got ${show(value)}`);
  return idOf(pair[1], name);
}

function templateFrame(part: JsonObject, name: string): Frame {
  const ids = asObject(part.get('special_tokens') ?? {}, `${name}.special_tokens`);
  const sides: [number[], number[]] = [[], []];
  let texts = 0;
  for (const [i, value] of listOf(part.get('single'), `${name}.single`).entries()) {
    const piece = asObject(value, `${name}.single[${i}]`);
    if (piece.has('Sequence')) {
      texts++;
      continue;
    }
    const key = textOf(
      asObject(piece.get('SpecialToken'), `${name}.single[${i}].SpecialToken`).get('id'),
      `${name}.single[${i}].SpecialToken.id`,
    );
    const token = ids.get(key);
    if (token === undefined) throw invalid(`${name}.special_tokens: must have ${show(key)}, got none`);
    const list = listOf(asObject(token, `${name}.special_tokens`).get('ids'), `${name}.special_tokens[${show(key)}].ids`);
    sides[texts === 0 ? 0 : 1].push(...list.map((id) => idOf(id, `${name}.special_tokens[${show(key)}].ids`)));
  }
  if (texts !== 1) throw unsupported(`${name}.single: must hold the text once, got it ${texts} times`);
  return { before: sides[0], after: sides[1] };
}

function frameOf(part: JsonObject, name: string): Frame {
  const type = typeOf(part, name);
  if (type === 'ByteLevel') return { before: [], after: [] };
  if (type === 'TemplateProcessing') return templateFrame(part, name);
  if (type === 'RobertaProcessing' || type === 'BertProcessing') {
    return { before: [namedId(part.get('cls'), `${name}.cls`)], after: [namedId(part.get('sep'), `${name}.sep`)] };
  }
  throw unsupported(`${name}: must be ByteLevel, TemplateProcessing, RobertaProcessing, BertProcessing or a Sequence, got ${show(type)}`);
}

/** What the post-processor of a tokenizer.json adds to one text. @throws INVALID_TOKENIZER, UNSUPPORTED_TOKENIZER */
export function readPostProcessor(value: unknown, name: string): Frame {
  let frame: Frame = { before: [], after: [] };
  for (const part of flatten(value, 'processors', name)) {
    const outer = frameOf(part, name);
    frame = { before: [...outer.before, ...frame.before], after: [...frame.after, ...outer.after] };
  }
  return frame;
}
