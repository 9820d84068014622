//! The place in the model where the thread is now, as a dotted path, so that errors and traces can name it.

use std::cell::RefCell;

thread_local! {
    static PATH: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A layer being run: entered on creation, left on drop.
///
/// ```
/// use warpsmith_tensor::{Scope, current_scope};
/// let block = Scope::enter("blocks.3");
/// let attn = Scope::enter("attn");
/// assert_eq!(current_scope(), "blocks.3.attn");
/// drop(attn);
/// assert_eq!(current_scope(), "blocks.3");
/// ```
#[must_use = "the scope is left when this guard is dropped"]
pub struct Scope(Return);

/// Where the thread goes back to.
enum Return {
    Depth(usize),
    Path(Vec<String>),
}

impl Scope {
    /// Enters the layer `name`, below whatever layer the thread is in.
    pub fn enter(name: impl Into<String>) -> Self {
        PATH.with_borrow_mut(|path| {
            path.push(name.into());
            Self(Return::Depth(path.len() - 1))
        })
    }

    /// Goes to the layer with the whole path `path`, wherever the thread is: how the backward pass comes back to the
    /// layer of the forward pass.
    pub fn resume(path: impl Into<String>) -> Self {
        let whole = Some(path.into()).filter(|p| !p.is_empty()).into_iter().collect();
        Self(Return::Path(PATH.replace(whole)))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        PATH.with_borrow_mut(|path| match &mut self.0 {
            // Truncate rather than pop: a guard that outlives its parent must not remove somebody else's name.
            Return::Depth(depth) => path.truncate(*depth),
            Return::Path(before) => *path = std::mem::take(before),
        });
    }
}

/// The dotted path of the layer that this thread is in; empty outside any.
pub fn current() -> String {
    PATH.with_borrow(|path| path.join("."))
}
