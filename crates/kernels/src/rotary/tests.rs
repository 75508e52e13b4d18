//! Rotary positions against the definition in f64, and the table against transformers' numbers.

use super::*;
use crate::testkit::{close, run_reversed, same_bits, wide, Cases, Rng};
use crate::FaultCode;

const UNSCALED: RotaryScaling = RotaryScaling::Linear { factor: 1.0 };

/// Shape of a case: [batch, time, cols], table rows, heads, width of a head.
type Shape = ([usize; 3], usize, usize, usize);

fn op(x: *const f32, table: &[f32], positions: Option<&[i32]>, out: *mut f32, shape: Shape, position: usize) -> Rotary {
    let ([batch, time, cols], table_rows, heads, head_dim) = shape;
    let positions = positions.map_or(core::ptr::null(), <[i32]>::as_ptr);
    let table = table.as_ptr();
    Rotary { x, table, positions, out, batch, time, cols, position, table_rows, heads, head_dim, inverse: false }
}

/// The definition, one pair at a time.
fn naive(x: &[f32], table: &[f32], position: impl Fn(usize) -> usize, shape: Shape) -> Vec<f64> {
    let ([_, time, cols], _, heads, width) = shape;
    let mut out = wide(x);
    for row in 0..x.len() / cols.max(1) {
        let angles = &table[(position(row / time) + row % time) * width..][..width];
        for head in 0..heads {
            for i in 0..width / 2 {
                let (a, b) = (row * cols + head * width + i, row * cols + head * width + width / 2 + i);
                let (cosine, sine) = (f64::from(angles[i]), f64::from(angles[width / 2 + i]));
                out[a] = f64::from(x[a]) * cosine - f64::from(x[b]) * sine;
                out[b] = f64::from(x[b]) * cosine + f64::from(x[a]) * sine;
            }
        }
    }
    out
}

#[test]
fn turns_every_width_by_the_definition_and_back_again() {
    let (mut rng, mut cases) = (Rng::new(1), Cases::new());
    let shapes = (1..=35).map(|half| ([2, 3, 3 * 2 * half + half % 3], 2, 2 * half));
    for ([batch, time, cols], heads, width) in
        shapes.chain([([1, 1, 8], 1, 8), ([3, 200, 200], 3, 64), ([2, 0, 8], 1, 4)])
    {
        for (position, table_rows) in [(0, time), (2, time + 5)] {
            let shape = ([batch, time, cols], table_rows, heads, width);
            let (x, table) = (rng.normals(batch * time * cols), rng.normals(table_rows * width));
            let mut out = vec![f32::NAN; x.len()];
            // SAFETY: all slices have the lengths of the dims, here and below.
            unsafe { run_reversed(&op(x.as_ptr(), &table, None, out.as_mut_ptr(), shape, position)) }.unwrap();
            let result = close(&out, &naive(&x, &table, |_| position, shape), 1e-6, 1e-6);
            cases.check(|| format!("{batch}x{time}x{cols}, {heads} heads of {width} at {position}"), result);

            let mut own = x.clone();
            unsafe { run_reversed(&op(own.as_ptr(), &table, None, own.as_mut_ptr(), shape, position)) }.unwrap();
            cases.check(|| format!("{cols}, {heads} heads of {width} in place"), same_bits(&out, &own));

            // The inverse turn is the transposed one: <turn(x), y> = <x, back(y)>.
            let y = rng.normals(x.len());
            let mut back = vec![f32::NAN; x.len()];
            let forward = op(y.as_ptr(), &table, None, back.as_mut_ptr(), shape, position);
            unsafe { run_reversed(&Rotary { inverse: true, ..forward }) }.unwrap();
            let mut mirrored = table.clone();
            mirrored.chunks_mut(width).for_each(|row| row[width / 2..].iter_mut().for_each(|sine| *sine = -*sine));
            let result = close(&back, &naive(&y, &mirrored, |_| position, shape), 1e-6, 1e-6);
            cases.check(|| format!("{cols}, {heads} heads of {width} back"), result);
        }
    }
    cases.finish();
}

#[test]
fn each_sequence_may_have_a_position_of_its_own() {
    let mut rng = Rng::new(2);
    let shape = ([3, 2, 26], 9, 3, 8);
    let (x, table) = (rng.normals(3 * 2 * 26), rng.normals(9 * 8));
    let mut out = vec![f32::NAN; x.len()];
    let positions = [7, 0, 3];
    // SAFETY: all slices have the lengths of the dims, here and below.
    unsafe { run_reversed(&op(x.as_ptr(), &table, Some(&positions), out.as_mut_ptr(), shape, 0)) }.unwrap();
    close(&out, &naive(&x, &table, |b| positions[b] as usize, shape), 1e-6, 1e-6).unwrap();
    for (b, &position) in positions.iter().enumerate() {
        let mut alone = vec![f32::NAN; 2 * 26];
        let x = &x[b * 52..][..52];
        let one = op(x.as_ptr(), &table, None, alone.as_mut_ptr(), ([1, 2, 26], 9, 3, 8), position as usize);
        unsafe { run_reversed(&one) }.unwrap();
        same_bits(&alone, &out[b * 52..][..52]).unwrap();
    }
    for (positions, at, value) in [([8, 0, 0], 0, 8), ([0, 0, -1], 2, -1)] {
        let fault = unsafe { crate::run_all(&op(x.as_ptr(), &table, Some(&positions), out.as_mut_ptr(), shape, 0)) };
        assert_eq!(fault, Err(Fault { code: FaultCode::PositionOutOfRange, at, value }));
    }
    let beyond = unsafe { crate::run_all(&op(x.as_ptr(), &table, None, out.as_mut_ptr(), shape, 8)) };
    assert_eq!(beyond, Err(Fault { code: FaultCode::PositionOutOfRange, at: 1, value: 9 }));
}

#[test]
fn the_table_follows_the_paper() {
    for (rows, width, base) in [(1, 2, 10_000.0), (50, 6, 10_000.0), (300, 64, 10_000.0), (64, 128, 500_000.0)] {
        let mut out = vec![f32::NAN; rows * width];
        fill_rotary(&mut out, width, base, UNSCALED);
        let want: Vec<f64> = (0..rows * width)
            .map(|j| {
                let (p, c) = ((j / width) as f64, j % width);
                let angle = p * base.powf(-((c % (width / 2) * 2) as f64) / width as f64);
                if c < width / 2 {
                    angle.cos()
                } else {
                    angle.sin()
                }
            })
            .collect();
        // Frequencies and angles in f32: half a digit each, times the angle.
        close(&out, &want, 1e-7 + 1.2e-7 * rows as f64, 0.0).unwrap_or_else(|e| panic!("{rows}x{width}: {e}"));
    }
}

#[test]
fn scaled_frequencies_are_between_the_plain_and_the_divided_ones() {
    let of = |scaling| -> Vec<f32> { (0..64).map(|i| frequency(i, 128, 500_000.0, scaling)).collect() };
    let plain = of(UNSCALED);
    let linear = of(RotaryScaling::Linear { factor: 4.0 });
    assert!(plain.iter().zip(&linear).all(|(p, l)| p / 4.0 == *l));
    let llama3 = of(RotaryScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192.0 });
    let mut counts = [0; 3];
    for (p, l) in plain.iter().zip(&llama3) {
        let wave = std::f32::consts::TAU / p;
        if wave < 2048.0 {
            assert_eq!(p, l);
            counts[0] += 1;
        } else if wave > 8192.0 {
            assert_eq!(p / 8.0, *l);
            counts[1] += 1;
        } else {
            assert!(*l < *p && *l > p / 8.0);
            counts[2] += 1;
        }
    }
    assert!(counts.iter().all(|&n| n > 0), "{counts:?}");
    assert!(llama3.windows(2).all(|w| w[1] < w[0]));
}
