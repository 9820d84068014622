//! Columns of numbers brought to one scale, learned on the data to train on and saved with the model.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How columns are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scaling {
    /// (x − min) / (max − min): what was learned from lies in 0..=1.
    MinMax,
    /// (x − mean) / sd, with the sd over N, not N − 1.
    Standard,
}

/// x ↦ (x − shift) / scale for each column. A column that was constant is only shifted, as scikit-learn does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    /// Which it is.
    pub scaling: Scaling,
    shift: Vec<f64>,
    scale: Vec<f64>,
}

impl Scaler {
    /// Learns from rows.
    ///
    /// # Errors
    /// If there are no rows, a row has another number of columns than the first, or a number is not finite.
    pub fn fit(rows: &[impl AsRef<[f64]>], scaling: Scaling) -> Result<Self> {
        let columns =
            rows.first().ok_or_else(|| Error::Request("there are no rows to learn a scale from".into()))?;
        let columns = columns.as_ref().len();
        for (index, row) in rows.iter().enumerate() {
            check(row.as_ref(), columns, index)?;
        }
        let column = |c: usize| rows.iter().map(move |row| row.as_ref()[c]);
        let (mut shift, mut scale) = (Vec::new(), Vec::new());
        for c in 0..columns {
            let (low, span) = match scaling {
                Scaling::MinMax => {
                    let low = column(c).fold(f64::INFINITY, f64::min);
                    (low, column(c).fold(f64::NEG_INFINITY, f64::max) - low)
                }
                Scaling::Standard => {
                    let mean = column(c).sum::<f64>() / rows.len() as f64;
                    let square = column(c).map(|x| (x - mean).powi(2)).sum::<f64>() / rows.len() as f64;
                    // Rounding leaves a constant column a spread of some ulps of its mean.
                    let noise = rows.len() as f64 * f64::EPSILON * mean.abs();
                    (mean, if square.sqrt() <= noise { 0.0 } else { square.sqrt() })
                }
            };
            shift.push(low);
            scale.push(if span > 0.0 { span } else { 1.0 });
        }
        Ok(Self { scaling, shift, scale })
    }

    /// Scales a row in place.
    ///
    /// # Errors
    /// If it has another number of columns, or a number that is not finite.
    pub fn apply(&self, row: &mut [f64]) -> Result<()> {
        check(row, self.shift.len(), 0)?;
        for (x, (shift, scale)) in row.iter_mut().zip(self.shift.iter().zip(&self.scale)) {
            *x = (*x - shift) / scale;
        }
        Ok(())
    }

    /// What [`Scaler::apply`] was given, from what it made.
    ///
    /// # Errors
    /// As [`Scaler::apply`].
    pub fn undo(&self, row: &mut [f64]) -> Result<()> {
        check(row, self.shift.len(), 0)?;
        for (x, (shift, scale)) in row.iter_mut().zip(self.shift.iter().zip(&self.scale)) {
            *x = *x * scale + shift;
        }
        Ok(())
    }
}

fn check(row: &[f64], columns: usize, index: usize) -> Result<()> {
    if row.len() != columns {
        return Err(Error::Request(format!("row {index} has {} columns, expected {columns}", row.len())));
    }
    match row.iter().position(|x| !x.is_finite()) {
        Some(column) => Err(Error::Request(format!(
            "row {index}, column {column} is {}: scale finite numbers",
            row[column]
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [[f64; 3]; 4] = [[1.0, -2.0, 0.1], [3.0, 0.0, 0.1], [5.0, 2.0, 0.1], [7.0, 8.0, 0.1]];

    #[test]
    fn columns_are_scaled_and_constant_ones_shifted() {
        let scaled = |scaling, row: [f64; 3]| {
            let (scaler, mut scaled) = (Scaler::fit(&ROWS, scaling).unwrap(), row);
            scaler.apply(&mut scaled).unwrap();
            let mut back = scaled;
            scaler.undo(&mut back).unwrap();
            assert!(back.iter().zip(row).all(|(a, b)| (a - b).abs() < 1e-12));
            scaled
        };
        assert_eq!(scaled(Scaling::MinMax, ROWS[2]), [4.0 / 6.0, 0.4, 0.0]);
        // Means 4 and 2, variances 5 and 14.
        let standard = scaled(Scaling::Standard, ROWS[3]);
        assert!(
            (standard[0] - 3.0 / 5_f64.sqrt()).abs() < 1e-15
                && (standard[1] - 6.0 / 14_f64.sqrt()).abs() < 1e-15
        );
        assert!(standard[2].abs() < 1e-15);
    }

    #[test]
    fn what_has_no_scale_is_refused() {
        let why = |rows: &[Vec<f64>]| Scaler::fit(rows, Scaling::Standard).unwrap_err().to_string();
        assert_eq!(why(&[]), "there are no rows to learn a scale from");
        assert_eq!(why(&[vec![1.0], vec![]]), "row 1 has 0 columns, expected 1");
        assert_eq!(why(&[vec![1.0, f64::NAN]]), "row 0, column 1 is NaN: scale finite numbers");
        assert!(Scaler::fit(&ROWS, Scaling::MinMax).unwrap().apply(&mut [1.0]).is_err());
    }

    #[test]
    fn a_scaler_is_saved_with_its_model() {
        let scaler = Scaler::fit(&ROWS, Scaling::Standard).unwrap();
        let back: Scaler = serde_json::from_str(&serde_json::to_string(&scaler).unwrap()).unwrap();
        assert_eq!(back, scaler);
    }
}
