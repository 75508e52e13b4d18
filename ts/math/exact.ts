// Elementary functions made of + − × ÷ √ and exact bit operations only, so that every JavaScript engine gives the same bits.
// `Math.pow`, `exp`, `log` and `cos` may differ in the last bit between engines (and between versions of one engine); a schedule or a table
// made with them would make a training run depend on the browser. Not a fast maths library: it serves a handful of numbers per step.

const LN2_HI = 0.6931471803691238; // the upper 32 bits of ln 2: k · LN2_HI is exact for |k| < 2^20
const LN2_LO = 1.9082149292705877e-10; // ln 2 − LN2_HI
const LOG2_E = Math.LOG2E;
const SQRT_HALF = Math.SQRT1_2;

const scratch = new DataView(new ArrayBuffer(8));

/** 2^k as a double, exact for −1022 ≤ k ≤ 1023. */
function powerOfTwo(k: number): number {
  scratch.setUint32(0, (k + 1023) << 20);
  scratch.setUint32(4, 0);
  return scratch.getFloat64(0);
}

/** x · 2^k in two exact steps, so that results below 2^−1022 round once and overflow goes to infinity. */
function scaleByPowerOfTwo(x: number, k: number): number {
  const half = Math.trunc(k / 2);
  return x * powerOfTwo(half) * powerOfTwo(k - half);
}

/** coefficients[0] + x·(coefficients[1] + x·(…)). */
function horner(x: number, coefficients: readonly number[]): number {
  let sum = coefficients[coefficients.length - 1];
  for (let i = coefficients.length - 2; i >= 0; i--) sum = sum * x + coefficients[i];
  return sum;
}

// Taylor coefficients, each made by exact divisions of the same IEEE operations everywhere.
const EXP_TAIL: number[] = []; // 1/2!, 1/3!, … 1/15!
for (let n = 2, factorial = 2; n <= 15; n++, factorial *= n) EXP_TAIL.push(1 / factorial);
const ATANH_TAIL: number[] = []; // 1/3, 1/5, … 1/25
for (let n = 3; n <= 25; n += 2) ATANH_TAIL.push(1 / n);
const COS_TAIL: number[] = []; // −1/2!, 1/4!, … in x²
const SIN_TAIL: number[] = []; // −1/3!, 1/5!, … in x²
for (let n = 2, factorial = 2, sign = -1; n <= 20; n += 2, sign = -sign) {
  COS_TAIL.push(sign / factorial);
  factorial *= n + 1;
  SIN_TAIL.push(sign / factorial);
  factorial *= n + 2;
}

/**
 * e^x, within 2 units in the last place of the true value.
 * Method: x = k·ln 2 + r with |r| ≤ ln 2 / 2, e^r by its Taylor series to r^15 (remainder below 1e-20), then an exact scaling by 2^k.
 * NaN gives NaN; above 709.8 infinity, below −745.2 zero.
 */
export function exp(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > 709.782712893384) return Number.POSITIVE_INFINITY;
  if (x < -745.1332191019412) return 0;
  const k = Math.floor(x * LOG2_E + 0.5);
  const hi = x - k * LN2_HI;
  const lo = k * LN2_LO;
  const r = hi - lo;
  // What the subtraction above rounded away, (hi − r) − lo, is added back: e^(r + d) ≈ e^r + d for a tiny d.
  const rest = hi - r - lo;
  return scaleByPowerOfTwo(1 + (r + (rest + r * r * horner(r, EXP_TAIL))), k);
}

/**
 * Natural logarithm, within 2 units in the last place. Method: x = m·2^e with m in [√½, √2), ln m = 2·artanh((m−1)/(m+1)) by its series.
 * Negative numbers give NaN, zero −infinity.
 */
export function ln(x: number): number {
  if (Number.isNaN(x) || x < 0) return Number.NaN;
  if (x === 0) return Number.NEGATIVE_INFINITY;
  if (x === Number.POSITIVE_INFINITY) return x;
  let exponent = 0;
  if (x < 2.2250738585072014e-308) {
    x *= powerOfTwo(54);
    exponent = -54;
  }
  scratch.setFloat64(0, x);
  const high = scratch.getUint32(0);
  exponent += (high >>> 20) - 1022;
  scratch.setUint32(0, (high & 0x000fffff) | (1022 << 20));
  let m = scratch.getFloat64(0); // in [½, 1)
  if (m < SQRT_HALF) {
    m *= 2;
    exponent -= 1;
  }
  // With f = m − 1 (exact) and s = f/(2+f): ln m = f − s·(f − 2·s²·tail), which keeps the leading term exact.
  const f = m - 1;
  const s = f / (2 + f);
  const z = s * s;
  const tail = 2 * z * horner(z, ATANH_TAIL);
  return exponent * LN2_HI + (f - s * (f - tail) + exponent * LN2_LO);
}

/** cos(πt) and sin(πt) for 0 ≤ t ≤ ¼ by Taylor series (remainder below 1e-19). */
function cosSmall(t: number): number {
  const z = Math.PI * t * (Math.PI * t);
  return 1 + z * horner(z, COS_TAIL);
}

function sinSmall(t: number): number {
  const x = Math.PI * t;
  return x + x * (x * x * horner(x * x, SIN_TAIL));
}

/** cos(πx), exact at every multiple of ½, within 2e-16 of the true value elsewhere. The argument is in half turns, so it is reduced exactly. */
export function cosPi(x: number): number {
  if (!Number.isFinite(x)) return Number.NaN;
  let t = Math.abs(x);
  t -= 2 * Math.floor(t / 2); // [0, 2), exact
  if (t > 1) t = 2 - t; // cos is even about 1
  if (t === 0.5) return 0; // not −0
  return t > 0.5 ? -cosQuarter(1 - t) : cosQuarter(t);
}

/** cos(πt) for 0 ≤ t ≤ ½. */
function cosQuarter(t: number): number {
  return t > 0.25 ? sinSmall(0.5 - t) : cosSmall(t);
}

/**
 * base^n for an integer n by repeated multiplication (squaring), relative error about n·1e-16. Negative n: the reciprocal of the positive power.
 * @throws RangeError when n is not a safe integer.
 */
export function integerPower(base: number, n: number): number {
  if (!Number.isSafeInteger(n)) throw new RangeError(`integerPower: the exponent must be an integer, got ${n}`);
  let result = 1;
  let square = base;
  for (let rest = Math.abs(n); rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= square;
    square *= square;
  }
  return n < 0 ? 1 / result : result;
}
