// Numbers that are the same on every JavaScript engine: elementary functions, bfloat16, hashing and random streams. Imports nothing.

export { fromBfloat16, toBfloat16 } from './bfloat16';
export { cosPi, exp, integerPower, ln } from './exact';
export { fnv1a64, seedWords } from './hash';
export { philox4x32, RandomStream } from './philox';
