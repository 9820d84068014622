//! Which lane holds which element: one function per operand, everything else is derived from it.

/// How one matrix operand lies in the registers of a warp.
#[derive(Clone, Copy, Debug)]
pub struct Fragment {
    /// The letter that the manual gives its elements: `a`, `b` or `c`.
    pub letter: char,
    /// Rows of the matrix.
    pub rows: usize,
    /// Columns of the matrix.
    pub columns: usize,
    /// Elements that one lane holds. Of 16-bit elements two share a register, the first in its lower half.
    pub per_lane: usize,
    place: fn(usize, usize) -> (usize, usize),
}

impl Fragment {
    /// Row and column of element `element` of lane `lane`.
    ///
    /// # Panics
    /// If there is no such lane or element.
    pub fn place(&self, lane: usize, element: usize) -> (usize, usize) {
        assert!(lane < 32 && element < self.per_lane, "no element {element} in lane {lane}");
        (self.place)(lane, element)
    }

    /// The matrix as a grid of `lane.element`, rows downwards.
    pub fn diagram(&self) -> String {
        let mut grid = vec![vec![String::new(); self.columns]; self.rows];
        for lane in 0..32 {
            for element in 0..self.per_lane {
                let (row, column) = self.place(lane, element);
                grid[row][column] = format!("{lane}.{element}");
            }
        }
        let mut text = String::new();
        for row in grid {
            let cells: Vec<String> = row.iter().map(|cell| format!("{cell:>5}")).collect();
            text.push_str(&cells.concat());
            text.push('\n');
        }
        text
    }
}

/// The fragments of one `mma` shape.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// `m16n8k16`.
    pub name: &'static str,
    /// M × K.
    pub a: Fragment,
    /// K × N.
    pub b: Fragment,
    /// M × N; the result has the same.
    pub c: Fragment,
}

// The manual's groupID and threadID_in_group (PTX 8.4, "Matrix fragments for mma").
const fn group(lane: usize) -> usize {
    lane / 4
}

const fn within(lane: usize) -> usize {
    lane % 4
}

pub(super) const fn a16x16(lane: usize, i: usize) -> (usize, usize) {
    (group(lane) + 8 * (i / 2 % 2), 2 * within(lane) + i % 2 + 8 * (i / 4))
}

pub(super) const fn b16x8(lane: usize, i: usize) -> (usize, usize) {
    (2 * within(lane) + i % 2 + 8 * (i / 2), group(lane))
}

pub(super) const fn c16x8(lane: usize, i: usize) -> (usize, usize) {
    (group(lane) + 8 * (i / 2), 2 * within(lane) + i % 2)
}

pub(super) const fn a16x8_tf32(lane: usize, i: usize) -> (usize, usize) {
    (group(lane) + 8 * (i % 2), within(lane) + 4 * (i / 2))
}

pub(super) const fn b8x8_tf32(lane: usize, i: usize) -> (usize, usize) {
    (within(lane) + 4 * i, group(lane))
}

pub(super) const fn a8x4(lane: usize, _: usize) -> (usize, usize) {
    (group(lane), within(lane))
}

pub(super) const fn b4x8(lane: usize, _: usize) -> (usize, usize) {
    (within(lane), group(lane))
}

pub(super) const fn c8x8(lane: usize, i: usize) -> (usize, usize) {
    (group(lane), 2 * within(lane) + i)
}

const fn fragment(
    letter: char,
    rows: usize,
    columns: usize,
    place: fn(usize, usize) -> (usize, usize),
) -> Fragment {
    Fragment { letter, rows, columns, per_lane: rows * columns / 32, place }
}

const C16X8: Fragment = fragment('c', 16, 8, c16x8);

/// f16 and bf16 with K = 16.
pub const M16N8K16: Shape =
    Shape { name: "m16n8k16", a: fragment('a', 16, 16, a16x16), b: fragment('b', 16, 8, b16x8), c: C16X8 };

/// f16 and bf16 with K = 8: A lies as C does, and B as the first half of B for K = 16.
pub const M16N8K8: Shape =
    Shape { name: "m16n8k8", a: fragment('a', 16, 8, c16x8), b: fragment('b', 8, 8, b16x8), c: C16X8 };

/// tf32 with K = 8.
pub const M16N8K8_TF32: Shape = Shape {
    name: "m16n8k8 tf32",
    a: fragment('a', 16, 8, a16x8_tf32),
    b: fragment('b', 8, 8, b8x8_tf32),
    c: C16X8,
};

/// tf32 with K = 4: the first half of K = 8.
pub const M16N8K4_TF32: Shape = Shape {
    name: "m16n8k4 tf32",
    a: fragment('a', 16, 4, a16x8_tf32),
    b: fragment('b', 4, 8, b8x8_tf32),
    c: C16X8,
};

/// f64.
pub const M8N8K4_F64: Shape = Shape {
    name: "m8n8k4 f64",
    a: fragment('a', 8, 4, a8x4),
    b: fragment('b', 4, 8, b4x8),
    c: fragment('c', 8, 8, c8x8),
};

/// Every shape there is.
pub const SHAPES: [Shape; 5] = [M16N8K16, M16N8K8, M16N8K8_TF32, M16N8K4_TF32, M8N8K4_F64];
