// How GPT-2's byte-level tokenizers write bytes as characters in vocabulary files, both ways.

/**
 * The character that stands for each byte. The printable bytes of Latin-1 (33–126, 161–172, 174–255) stand for themselves; the others get the characters
 * from U+0100 on, in order.
 */
export function byteAlphabet(): string[] {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

const ALPHABET = byteAlphabet();
/** Byte by character code, −1 where the code stands for none. */
const BYTE_OF = new Int16Array(0x144).fill(-1);
for (const [byte, character] of ALPHABET.entries()) BYTE_OF[character.charCodeAt(0)] = byte;

/** The bytes that a token of a vocabulary file stands for; null where a character of it stands for no byte. */
export function bytesOfToken(token: string): Uint8Array | null {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const code = token.charCodeAt(i);
    const byte = code < BYTE_OF.length ? BYTE_OF[code] : -1;
    if (byte < 0) return null;
    bytes[i] = byte;
  }
  return bytes;
}

/** How bytes are written in a vocabulary file. */
export function tokenOfBytes(bytes: Uint8Array): string {
  let token = '';
  for (const byte of bytes) token += ALPHABET[byte];
  return token;
}
