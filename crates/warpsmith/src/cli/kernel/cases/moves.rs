//! Sums and extremes along an axis, and rows by number.

use warpsmith::ops::embedding::{Embedding, EmbeddingBackward};
use warpsmith::ops::max::Max;
use warpsmith::ops::maximum::Winner;
use warpsmith::ops::sum::Sum;
use warpsmith_kernels::index::{self, IndexKind, Places};
use warpsmith_kernels::reduce::{self, Extreme, SumRows};
use warpsmith_kernels::{Dtype, Float, columns, index_add};

use super::super::case::{Call, Draw};
use crate::cli::Failure;

type Made = Result<Call, Failure>;

fn shape(d: &Draw<'_>) -> (u64, u64) {
    (d.sizes[0] as u64, d.sizes[1] as u64)
}

pub fn sum_rows(d: &Draw<'_>) -> Made {
    let ((rows, n), dtype) = (shape(d), d.float);
    let x = d.numbers(d.sizes, -1.0, 1.0)?;
    let call = Call::new(Sum { axes: vec![1], keep: false, is_wide: false }, vec![x], move |at| {
        let (y, x, workspace) = (at.y[0], at.x[0], at.room);
        Ok(reduce::sum(&SumRows { dtype, y, x, workspace, rows, n, scale: 1.0 }))
    });
    Ok(call.with_room(reduce::workspace(rows, n)))
}

pub fn sum_columns(d: &Draw<'_>) -> Made {
    let ((size, inner), dtype) = (shape(d), d.float);
    let x = d.numbers(d.sizes, -1.0, 1.0)?;
    let call = Call::new(Sum { axes: vec![0], keep: false, is_wide: false }, vec![x], move |at| {
        let (y, x, workspace) = (at.y[0], at.x[0], at.room);
        let call = columns::SumColumns { dtype, y, x, workspace, outer: 1, size, inner, scale: 1.0 };
        Ok(columns::sum(&call))
    });
    Ok(call.with_room(columns::workspace(1, size, inner)))
}

pub fn max(d: &Draw<'_>) -> Made {
    let ((outer, size), dtype) = (shape(d), d.float);
    let x = d.numbers(d.sizes, -1.0, 1.0)?;
    Ok(Call::new(Max { winner: Winner::Larger, axis: 1, keep: false }, vec![x], move |at| {
        let (y, places, x) = (at.y[0], at.y[1], at.x[0]);
        Ok(vec![reduce::extreme(&Extreme { dtype, smallest: false, y, places, x, outer, size, inner: 1 })])
    }))
}

/// TOKENS rows of a table (V, C).
fn places(d: &Draw<'_>, index: u64) -> Places {
    let [size, inner, places] = [0, 1, 2].map(|i| d.sizes[i] as u64);
    Places { index, kind: IndexKind::I64, bad: 0, outer: 1, places, size, inner }
}

pub fn embedding(d: &Draw<'_>) -> Made {
    let inputs = vec![d.numbers(&d.sizes[..2], -1.0, 1.0)?, d.index(&d.sizes[2..], d.sizes[0])?];
    let of = places(d, 0);
    let dtype = match d.float {
        Float::F32 => Dtype::F32,
        Float::F16 => Dtype::F16,
        Float::Bf16 => Dtype::Bf16,
    };
    Ok(Call::new(Embedding, inputs, move |at| {
        Ok(vec![index::index_select(dtype, at.y[0], at.x[0], &Places { index: at.x[1], ..of })])
    }))
}

pub fn embedding_backward(d: &Draw<'_>) -> Made {
    let grad = d.numbers(&[d.sizes[2], d.sizes[1]], -1.0, 1.0)?;
    let inputs = vec![grad, d.index(&d.sizes[2..], d.sizes[0])?];
    let (of, dtype) = (places(d, 0), d.float);
    let call = Call::new(EmbeddingBackward { rows: d.sizes[0] }, inputs, move |at| {
        Ok(index_add::index_add(dtype, at.y[0], at.x[0], at.room, &Places { index: at.x[1], ..of }))
    });
    let room = index_add::workspace(of.places);
    Ok(Call { adds_to_outputs: true, ..call.with_room(room) })
}
