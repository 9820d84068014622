//! `ldmatrix` and `stmatrix`: 8×8 tiles of 16-bit elements between shared memory and the registers of a warp.

/// The rows of one tile as they lie in memory. Of `.x2` and `.x4`, tile j has its row addresses in lanes 8j to 8j + 7.
pub type Tile = [[u16; 8]; 8];

/// Row and column of the element in half `half` (0 lower, 1 upper) of a lane's register.
///
/// Untransposed, lane l holds row l/4, columns 2·(l mod 4) and the next: the layout of each 8×8 part of A in
/// [`M16N8K16`](super::M16N8K16). With `.trans`, row and column change places, which gives the layout of B.
pub const fn tile_place(lane: usize, half: usize, transposed: bool) -> (usize, usize) {
    let (row, column) = (lane / 4, 2 * (lane % 4) + half);
    if transposed { (column, row) } else { (row, column) }
}

/// What `ldmatrix` leaves in one register of the 32 lanes.
pub fn load_tile(tile: &Tile, transposed: bool) -> [u32; 32] {
    std::array::from_fn(|lane| {
        let element = |half| {
            let (row, column) = tile_place(lane, half, transposed);
            u32::from(tile[row][column])
        };
        element(0) | element(1) << 16
    })
}

/// What `stmatrix` writes from one register of the 32 lanes.
pub fn store_tile(registers: &[u32; 32], transposed: bool) -> Tile {
    let mut tile = [[0; 8]; 8];
    for (lane, bits) in registers.iter().enumerate() {
        for half in 0..2 {
            let (row, column) = tile_place(lane, half, transposed);
            tile[row][column] = (bits >> (16 * half)) as u16;
        }
    }
    tile
}
