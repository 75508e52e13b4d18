// Numbers that are the same on every JavaScript engine: elementary functions, hashing and random streams. Imports nothing.

export { cosPi, exp, integerPower, ln } from './exact';
export { fnv1a64, seedWords } from './hash';
export { philox4x32, RandomStream } from './philox';
