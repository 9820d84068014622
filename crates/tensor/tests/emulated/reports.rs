//! Indices out of range: told when the host waits, once, with op, layer, position and limit.

use warpsmith_kernels::index::{IndexKind, Places, index_select};
use warpsmith_tensor::{DType, Device, Kind, Result, Tensor};

use crate::{cuda, device};

/// Rows `ids` of a table of 3 rows.
fn select(device: &Device, ids: &[i64], op: &'static str) -> Result<Tensor> {
    let table = Tensor::from_slice(&[0f32, 1.0, 2.0], &[3, 1], &Device::Cpu)?.to_device(device)?;
    let index = Tensor::from_slice(ids, &[ids.len()], &Device::Cpu)?.to_device(device)?;
    rows(device, &table, &index, op)
}

fn rows(device: &Device, table: &Tensor, index: &Tensor, op: &'static str) -> Result<Tensor> {
    let mut out = Tensor::empty(*index.shape(), DType::F32, device)?;
    let places = Places {
        index: index.device_address()?,
        kind: IndexKind::I64,
        bad: device.watch(op, 3)?,
        outer: 1,
        places: index.numel() as u64,
        size: 3,
        inner: 1,
    };
    let y = out.device_address_mut()?;
    device.launch(&index_select(DType::F32.on_device(op)?, y, table.device_address()?, &places))?;
    Ok(out)
}

/// One test in a process of its own: a report is told to whoever waits first.
#[test]
fn a_wrong_index_is_told_once_and_by_name_when_the_host_waits() {
    warpsmith_emulator::alone(
        "reports::a_wrong_index_is_told_once_and_by_name_when_the_host_waits",
        &[],
        || {
            let device = device();
            assert_eq!(select(&device, &[2, 0], "select").unwrap().to_vec::<f32>().unwrap(), [2.0, 0.0]);
            let wrong = select(&device, &[1, 3, -1], "select").unwrap();
            let error = wrong.to_vec::<f32>().unwrap_err();
            assert_eq!(error.kind(), Kind::Index);
            let text = error.to_string();
            assert!(
                text.contains("select") && text.contains("position 1 ") && text.contains("below 3"),
                "{text}"
            );
            assert_eq!(wrong.to_vec::<f32>().unwrap(), [1.0, 0.0, 0.0]);
            device.synchronize().unwrap();

            let layer = warpsmith_tensor::Scope::enter("blocks.1");
            select(&device, &[0, 9], "pick").unwrap();
            drop(layer);
            select(&device, &[0], "pick").unwrap();
            let text = device.synchronize().unwrap_err().to_string();
            assert!(
                text.contains("pick") && text.contains("blocks.1") && text.contains("position 1 "),
                "{text}"
            );

            // A recording reports at each launch, and not while it is recorded.
            let table = Tensor::from_slice(&[0f32, 1.0, 2.0], &[3, 1], &device).unwrap();
            let index = Tensor::from_slice(&[5i64], &[1], &device).unwrap();
            let (graph, out) =
                cuda(&device).stream().capture(|| rows(&device, &table, &index, "recorded")).unwrap();
            device.synchronize().unwrap();
            for _ in 0..2 {
                graph.launch().unwrap();
                assert!(out.to_vec::<f32>().unwrap_err().to_string().contains("recorded"));
            }
        },
    );
}
