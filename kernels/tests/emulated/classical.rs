//! Cells of recurrent networks, windows of convolutions, batch norm; and what their headers say of traffic.

use warpsmith_kernels::Float;
use warpsmith_kernels::batch_norm::{self, Channels};
use warpsmith_kernels::recurrent::{self, States};
use warpsmith_kernels::unfold::{self, Windows};

use crate::counts::claim;
use crate::gpu::{Exact, Gpu, check, numbers};

/// Rows, width and dtype: under a block, several blocks, 16-bit floats.
const CELLS: [(usize, usize, Float); 4] =
    [(1, 1, Float::F32), (3, 100, Float::F32), (2, 7, Float::Bf16), (5, 64, Float::F16)];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn states(rows: usize, width: usize, dtype: Float) -> States {
    States { dtype, elements: (rows * width) as u64, width: width as u64 }
}

/// Bytes of `count` elements for each element of the state.
fn each(states: &States, count: u64) -> u64 {
    states.elements * count * states.dtype.size() as u64
}

/// The bound of a value that a few terms of size `size` make.
fn within(value: f64, size: f64) -> Exact {
    Exact { value, scale: value.abs() + size }
}

#[test]
fn an_lstm_cell_and_its_gradients_hold_their_bounds() {
    for (rows, width, dtype) in CELLS {
        let (n, s) = (rows * width, states(rows, width, dtype));
        let [gh, gc, c] = [1, 2, 3].map(|seed| numbers(dtype, n, seed, -2.0, 2.0));
        let p = numbers(dtype, 4 * n, 4, -4.0, 4.0);
        let mut gpu = Gpu::new();
        let from = [&gh, &gc, &p, &c].map(|v| gpu.floats(dtype, v));
        let to = [gpu.room_for(dtype, n), gpu.room_for(dtype, n)];
        let counts = gpu.run(&recurrent::lstm(&s, to, [from[2], from[3]]));
        claim("lstm", &counts, each(&s, 5), each(&s, 2));
        let grads = [gpu.room_for(dtype, 4 * n), gpu.room_for(dtype, n)];
        let counts = gpu.run(&recurrent::lstm_backward(&s, grads, from));
        claim("lstm backward", &counts, each(&s, 7), each(&s, 5));
        let (mut h, mut next, mut dc) = (vec![], vec![], vec![]);
        let mut dp = vec![Exact::of(0.0); 4 * n];
        for at in 0..n {
            let place = |k: usize| at / width * 4 * width + k * width + at % width;
            let [i, f, o] = [0, 1, 3].map(|k| sigmoid(p[place(k)]));
            let g = p[place(2)].tanh();
            let c_next = f * c[at] + i * g;
            let t = c_next.tanh();
            h.push(within(o * t, o));
            next.push(within(c_next, (f * c[at]).abs() + (i * g).abs()));
            let d = gc[at] + gh[at] * o * (1.0 - t * t);
            let size = gc[at].abs() + gh[at].abs();
            dp[place(0)] = within(d * g * i * (1.0 - i), size);
            dp[place(1)] = within(d * c[at] * f * (1.0 - f), size * c[at].abs());
            dp[place(2)] = within(d * i * (1.0 - g * g), size);
            dp[place(3)] = within(gh[at] * t * o * (1.0 - o), size);
            dc.push(within(d * f, size));
        }
        for (what, found, exact) in
            [("h", to[0], h), ("c", to[1], next), ("gates", grads[0], dp), ("dc", grads[1], dc)]
        {
            let found = gpu.read_floats(dtype, found, exact.len());
            check(&format!("lstm {what} {rows}x{width}"), dtype, &found, &exact, 24.0);
        }
    }
}

#[test]
fn a_gru_cell_and_its_gradients_hold_their_bounds() {
    for (rows, width, dtype) in CELLS {
        let (n, s) = (rows * width, states(rows, width, dtype));
        let [g, h] = [1, 2].map(|seed| numbers(dtype, n, seed, -2.0, 2.0));
        let [u, v] = [3, 4].map(|seed| numbers(dtype, 3 * n, seed, -2.0, 2.0));
        let mut gpu = Gpu::new();
        let from = [&g, &u, &v, &h].map(|v| gpu.floats(dtype, v));
        let to = gpu.room_for(dtype, n);
        let counts = gpu.run(&recurrent::gru(&s, to, [from[1], from[2], from[3]]));
        claim("gru", &counts, each(&s, 7), each(&s, 1));
        let grads = [gpu.room_for(dtype, 3 * n), gpu.room_for(dtype, 3 * n), gpu.room_for(dtype, n)];
        let counts = gpu.run(&recurrent::gru_backward(&s, grads, from));
        claim("gru backward", &counts, each(&s, 8), each(&s, 7));
        let (mut next, mut dh) = (vec![], vec![]);
        let (mut du, mut dv) = (vec![Exact::of(0.0); 3 * n], vec![Exact::of(0.0); 3 * n]);
        for at in 0..n {
            let place = |k: usize| at / width * 3 * width + k * width + at % width;
            let [r, z] = [0, 1].map(|k| sigmoid(u[place(k)] + v[place(k)]));
            let state = v[place(2)];
            let t = (u[place(2)] + r * state).tanh();
            next.push(within((1.0 - z) * t + z * h[at], 1.0 + h[at].abs()));
            let dn = g[at] * (1.0 - z) * (1.0 - t * t);
            let size = 4.0 * g[at].abs();
            let gates = [dn * state * r * (1.0 - r), g[at] * (h[at] - t) * z * (1.0 - z), dn];
            for (k, gate) in gates.into_iter().enumerate() {
                du[place(k)] = within(gate, size);
                dv[place(k)] = within(if k == 2 { gate * r } else { gate }, size);
            }
            dh.push(within(g[at] * z, size));
        }
        for (what, found, exact) in
            [("h", to, next), ("u", grads[0], du), ("v", grads[1], dv), ("dh", grads[2], dh)]
        {
            let found = gpu.read_floats(dtype, found, exact.len());
            check(&format!("gru {what} {rows}x{width}"), dtype, &found, &exact, 24.0);
        }
    }
}

#[test]
fn windows_are_exact_and_add_up_to_where_they_came_from() {
    // B, C, T, K, stride, padding, dilation.
    for ([batch, channels, times, taps, stride, padding, dilation], dtype) in [
        ([2usize, 3usize, 37usize, 3usize, 1usize, 1usize, 1usize], Float::F32),
        ([2, 2, 33, 4, 3, 2, 2], Float::Bf16),
        ([1, 2, 5, 2, 4, 3, 1], Float::F32),
    ] {
        let positions = (times + 2 * padding - dilation * (taps - 1) - 1) / stride + 1;
        let (places, windows) = (batch * channels * times, batch * positions * channels * taps);
        let mut gpu = Gpu::new();
        let x = numbers(dtype, places, 5, -2.0, 2.0);
        let g = numbers(dtype, windows, 6, -2.0, 2.0);
        let w = Windows {
            dtype,
            y: gpu.room_for(dtype, windows),
            x: gpu.floats(dtype, &x),
            batch: batch as u64,
            channels: channels as u64,
            times: times as u64,
            positions: positions as u64,
            taps: taps as u64,
            stride: stride as u64,
            dilation: dilation as u64,
            padding: padding as u64,
        };
        let counts = gpu.run(&unfold::unfold(&w));
        let (mut expected, mut sums) = (vec![0.0; windows], vec![Exact { value: 0.0, scale: 0.0 }; places]);
        let mut inside = 0;
        for i in 0..windows {
            let (k, c, window) = (i % taps, i / taps % channels, i / taps / channels);
            let (b, t) = (window / positions, window % positions);
            let Some(from) = (t * stride + k * dilation).checked_sub(padding).filter(|f| *f < times) else {
                continue;
            };
            let place = (b * channels + c) * times + from;
            expected[i] = x[place];
            sums[place].value += g[i];
            sums[place].scale += g[i].abs();
            inside += dtype.size() as u64;
        }
        claim("unfold", &counts, inside, (windows * dtype.size()) as u64);
        assert_eq!(gpu.read_floats(dtype, w.y, windows), expected);
        let back = Windows { y: gpu.floats(dtype, &g), x: gpu.room_for(dtype, places), ..w };
        let counts = gpu.run(&unfold::fold(&back));
        claim("fold", &counts, inside, (places * dtype.size()) as u64);
        check("fold", dtype, &gpu.read_floats(dtype, back.x, places), &sums, taps as f64);
    }
}

#[test]
fn batch_norm_and_its_gradients_hold_their_bounds() {
    // One number a channel and place, a mean that is large beside the spread over many rounds of the block, 16-bit floats.
    for (batch, channels, inner, dtype, mean) in [
        (33usize, 4usize, 1usize, Float::F32, 0.0),
        (3, 2, 700, Float::F32, 1000.0),
        (2, 3, 300, Float::Bf16, 1.0),
        (5, 1, 7, Float::F16, 0.0),
    ] {
        let (size, count, eps) = (batch * channels * inner, (batch * inner) as f64, 1e-3);
        let mut gpu = Gpu::new();
        let [g, x] = [1, 2].map(|seed| numbers(dtype, size, seed, mean - 2.0, mean + 2.0));
        let [w, b] = [3, 4].map(|seed| numbers(dtype, channels, seed, 0.5, 2.0));
        let of_statistics = [5, 6].map(|seed| numbers(Float::F32, channels, seed, -1.0, 1.0));
        let s = Channels { dtype, batch: batch as u64, channels: channels as u32, inner: inner as u64, eps };
        let [g_at, x_at] = [&g, &x].map(|v| gpu.floats(dtype, v));
        let [w_at, b_at] = [&w, &b].map(|v| gpu.floats(dtype, v));
        let [g_mean, g_variance] = [0, 1].map(|i| gpu.floats(Float::F32, &of_statistics[i]));
        let y = gpu.room_for(dtype, size);
        let [mean_at, variance_at] = [0; 2].map(|_| gpu.room_for(Float::F32, channels));
        gpu.run(&batch_norm::forward(&s, [y, mean_at, variance_at], [x_at, w_at, b_at]));
        let [dx, dw, db] = [size, channels, channels].map(|n| gpu.room_for(dtype, n));
        let from = [g_at, g_mean, g_variance, x_at, w_at, mean_at, variance_at];
        gpu.run(&batch_norm::backward(&s, [dx, dw, db], from));
        // The backward pass starts from the statistics that the forward pass left.
        let statistics = [mean_at, variance_at].map(|at| gpu.read_floats(Float::F32, at, channels));
        let zero = vec![Exact::of(0.0); size];
        let (mut of_y, mut of_x, mut of_numbers) = (zero.clone(), zero, [(); 4].map(|()| vec![]));
        for c in 0..channels {
            let places: Vec<usize> =
                (0..batch).flat_map(|o| (0..inner).map(move |i| (o * channels + c) * inner + i)).collect();
            let mean = places.iter().map(|&at| x[at]).sum::<f64>() / count;
            let variance = places.iter().map(|&at| (x[at] - mean).powi(2)).sum::<f64>() / count;
            let rstd = 1.0 / (variance + eps).sqrt();
            for &at in &places {
                let normal = (x[at] - mean) * rstd * w[c];
                of_y[at] = Exact { value: normal + b[c], scale: normal.abs() + b[c].abs() };
            }
            let (mean, rstd) = (statistics[0][c], 1.0 / (statistics[1][c] + eps).sqrt());
            let normal = |at: usize| (x[at] - mean) * rstd;
            let sum_g = places.iter().map(|&at| g[at]).sum::<f64>();
            let sum_gx = places.iter().map(|&at| g[at] * normal(at)).sum::<f64>();
            let size_g = places.iter().map(|&at| g[at].abs()).sum::<f64>();
            let size_gx = places.iter().map(|&at| (g[at] * normal(at)).abs()).sum::<f64>();
            for &at in &places {
                let outside =
                    [of_statistics[0][c] / count, 2.0 * of_statistics[1][c] * (x[at] - mean) / count];
                let value = w[c] * rstd * (g[at] - sum_g / count - normal(at) * sum_gx / count);
                let inside = g[at].abs() + size_g / count + normal(at).abs() * size_gx / count;
                let scale = w[c] * rstd * inside + outside[0].abs() + outside[1].abs();
                of_x[at] = Exact { value: value + outside[0] + outside[1], scale };
            }
            of_numbers[0].push(Exact { value: mean, scale: mean.abs() });
            of_numbers[1].push(Exact::of(variance));
            of_numbers[2].push(Exact { value: sum_gx, scale: size_gx });
            of_numbers[3].push(Exact { value: sum_g, scale: size_g });
        }
        let [of_mean, of_variance, of_w, of_b] = of_numbers;
        let roundings = 16.0 + count / 256.0;
        for (what, dtype, at, exact) in [
            ("y", dtype, y, of_y),
            ("mean", Float::F32, mean_at, of_mean),
            ("variance", Float::F32, variance_at, of_variance),
            ("dx", dtype, dx, of_x),
            ("dw", dtype, dw, of_w),
            ("db", dtype, db, of_b),
        ] {
            let found = gpu.read_floats(dtype, at, exact.len());
            check(&format!("batch_norm {what} {batch}x{channels}x{inner}"), dtype, &found, &exact, roundings);
        }
    }
}
