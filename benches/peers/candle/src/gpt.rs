//! nanoGPT's character model and one training step of it, written with candle's ops.

use candle_core::{D, DType, Device, Module, Result, Tensor, Var};
use candle_nn::{
    AdamW, Embedding, LayerNorm, Linear, Optimizer, ParamsAdamW, VarBuilder, VarMap, embedding,
    layer_norm_no_bias, linear_no_bias,
};

const LAYERS: usize = 4;
const HEADS: usize = 4;
const WIDTH: usize = 128;
const CONTEXT: usize = 64;
const VOCABULARY: usize = 65;
const BATCH: usize = 12;

struct Block {
    ln_1: LayerNorm,
    c_attn: Linear,
    attn_proj: Linear,
    ln_2: LayerNorm,
    c_fc: Linear,
    mlp_proj: Linear,
}

impl Block {
    fn new(vb: &VarBuilder) -> Result<Self> {
        Ok(Block {
            ln_1: layer_norm_no_bias(WIDTH, 1e-5, vb.pp("ln_1"))?,
            c_attn: linear_no_bias(WIDTH, 3 * WIDTH, vb.pp("c_attn"))?,
            attn_proj: linear_no_bias(WIDTH, WIDTH, vb.pp("attn_proj"))?,
            ln_2: layer_norm_no_bias(WIDTH, 1e-5, vb.pp("ln_2"))?,
            c_fc: linear_no_bias(WIDTH, 4 * WIDTH, vb.pp("c_fc"))?,
            mlp_proj: linear_no_bias(4 * WIDTH, WIDTH, vb.pp("mlp_proj"))?,
        })
    }

    fn forward(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let x = (x + self.attention(&self.ln_1.forward(x)?, mask)?)?;
        let hidden = self.c_fc.forward(&self.ln_2.forward(&x)?)?.gelu_erf()?;
        x + self.mlp_proj.forward(&hidden)?
    }

    /// `mask` (T, T) holds minus infinity above the diagonal.
    fn attention(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (b, t, c) = x.dims3()?;
        let qkv = self.c_attn.forward(x)?; // (B, T, 3C)
        let part = |index: usize| {
            let split = qkv.narrow(D::Minus1, index * c, c)?.reshape((b, t, HEADS, c / HEADS))?;
            split.transpose(1, 2)?.contiguous() // (B, H, T, D)
        };
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let scores = (q.matmul(&k.t()?)? * (1.0 / ((c / HEADS) as f64).sqrt()))?.broadcast_add(mask)?;
        let y = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v)?;
        self.attn_proj.forward(&y.transpose(1, 2)?.reshape((b, t, c))?)
    }
}

/// The model, its optimiser and the constants of a step.
pub struct Training {
    variables: Vec<Var>,
    optimizer: AdamW,
    wte: Embedding,
    wpe: Embedding,
    blocks: Vec<Block>,
    ln_f: LayerNorm,
    mask: Tensor,
    positions: Tensor,
}

impl Training {
    /// Starting weights as candle draws them: the time of a step does not depend on them.
    pub fn new() -> Result<Self> {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let (wte, wpe) =
            (embedding(VOCABULARY, WIDTH, vb.pp("wte"))?, embedding(CONTEXT, WIDTH, vb.pp("wpe"))?);
        let blocks = (0..LAYERS).map(|i| Block::new(&vb.pp(format!("h.{i}")))).collect::<Result<_>>()?;
        let ln_f = layer_norm_no_bias(WIDTH, 1e-5, vb.pp("ln_f"))?;
        let above = |i: usize| if i % CONTEXT > i / CONTEXT { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = (0..CONTEXT * CONTEXT).map(above).collect();
        let parameters = ParamsAdamW { lr: 1e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };
        Ok(Training {
            optimizer: AdamW::new(map.all_vars(), parameters)?,
            variables: map.all_vars(),
            wte,
            wpe,
            blocks,
            ln_f,
            mask: Tensor::from_vec(mask, (CONTEXT, CONTEXT), &Device::Cpu)?,
            positions: Tensor::arange(0u32, CONTEXT as u32, &Device::Cpu)?,
        })
    }

    /// Forward, backward, clip to norm 1 and AdamW on a new random batch.
    pub fn step(&mut self) -> Result<()> {
        let ids = Tensor::rand(0f32, VOCABULARY as f32, (BATCH, CONTEXT + 1), &Device::Cpu)?
            .to_dtype(DType::U32)?;
        let (inputs, targets) = (ids.narrow(1, 0, CONTEXT)?.contiguous()?, ids.narrow(1, 1, CONTEXT)?);
        let mut x = self.wte.forward(&inputs)?.broadcast_add(&self.wpe.forward(&self.positions)?)?; // (B, T, C)
        for block in &self.blocks {
            x = block.forward(&x, &self.mask)?;
        }
        let x = self.ln_f.forward(&x)?.reshape((BATCH * CONTEXT, WIDTH))?;
        let logits = x.matmul(&self.wte.embeddings().t()?)?; // (B·T, V)
        let loss = candle_nn::loss::cross_entropy(&logits, &targets.flatten_all()?.contiguous()?)?;

        let mut gradients = loss.backward()?;
        let mut square = 0.0;
        for variable in &self.variables {
            if let Some(gradient) = gradients.get(variable) {
                square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        let scale = (1.0 / (square.sqrt() + 1e-6)).min(1.0);
        for variable in &self.variables {
            if let Some(gradient) = gradients.remove(variable) {
                gradients.insert(variable, (gradient * scale)?);
            }
        }
        self.optimizer.step(&gradients)
    }
}
