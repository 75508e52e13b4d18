//! Floats in error texts. The standard library prints them exactly, with tables and big integers of fifteen kilobytes, which counts in a
//! binary that browsers download; here they have seven digits, which is what a message needs.

use std::fmt;

/// A float as messages show it: whole numbers below 10^15 with all their digits, others with seven.
pub struct Number(pub f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.0;
        if x.is_nan() {
            return f.write_str("NaN");
        }
        if x < 0.0 {
            f.write_str("-")?;
        }
        let x = x.abs();
        if x == f64::INFINITY {
            return f.write_str("Infinity");
        }
        if x < 1e15 && x == x.trunc() {
            return write!(f, "{}", x as u64);
        }
        // 7 digits and a power of ten: x ≈ digits · 10^(exponent − 6).
        let (mut scaled, mut exponent) = (x, 6i32);
        while scaled >= 9_999_999.5 {
            scaled /= 10.0;
            exponent += 1;
        }
        while scaled < 999_999.95 {
            scaled *= 10.0;
            exponent -= 1;
        }
        let mut digits = (scaled + 0.5) as u64;
        let mut places = 6;
        while places > 0 && digits.is_multiple_of(10) {
            digits /= 10;
            places -= 1;
        }
        let decimals = places - exponent;
        if (0..=10).contains(&decimals) && exponent >= -4 {
            let point = 10u64.pow(decimals as u32);
            return write!(f, "{}.{:0width$}", digits / point, digits % point, width = decimals as usize);
        }
        let point = 10u64.pow(places as u32);
        write!(f, "{}", digits / point)?;
        if places > 0 {
            write!(f, ".{:0width$}", digits % point, width = places as usize)?;
        }
        write!(f, "e{exponent}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_people_write_it() {
        let cases = [
            (0.0, "0"),
            (-3.0, "-3"),
            (4_294_967_296.0, "4294967296"),
            (999_999_999_999_999.0, "999999999999999"),
            (0.1f32 as f64, "0.1"),
            (-0.25, "-0.25"),
            (1.5, "1.5"),
            (std::f64::consts::PI, "3.141593"),
            (123_456_789.5, "1.234568e8"),
            (9_999_999.99, "1e7"),
            (1.5e-4, "0.00015"),
            (1e-5, "1e-5"),
            (1.25e-20, "1.25e-20"),
            (1e300, "1e300"),
            (-1.5e15, "-1.5e15"),
            (5e-324, "4.940656e-324"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (x, want) in cases {
            assert_eq!(Number(x).to_string(), want, "{x:e}");
        }
    }
}
