// Values of a script's own flags.

/** A whole number from 1 on. @throws an Error that names the flag */
export function positiveInteger(flag, text) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${flag} must be a positive integer, got ${JSON.stringify(text)}`);
  return value;
}
