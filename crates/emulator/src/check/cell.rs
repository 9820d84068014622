//! The shadow of a few bytes: who wrote them last, and who has read them since.

use super::clocks::{Scope, View};
use super::conflict::Action;
use super::stamp::Stamp;

/// How an access takes part in the memory model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    /// An ordinary load or store.
    Weak,
    /// `volatile`, `relaxed`, `acquire`, `release` or atomic: two of these do not race if their scopes hold both threads.
    Strong(Scope),
    /// A copy in flight.
    Pending,
}

/// The bits of an access that a cell keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    pub(super) reads: bool,
    pub(super) writes: bool,
    pub(super) strength: Strength,
    /// Line of the PTX text.
    pub(super) line: u32,
}

/// An earlier access that conflicts with the present one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prior {
    pub(super) stamp: Stamp,
    pub(super) line: u32,
    pub(super) action: Action,
}

/// One reader of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    stamp: Stamp,
    line: u32,
    strength: Strength,
}

/// The lists of readers, kept where a summary would not be exact: once threads synchronise otherwise than by barriers
/// of whole blocks and warps.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) exact: bool,
    lists: Vec<Vec<Reader>>,
    free: Vec<u32>,
}

impl Lists {
    fn create(&mut self, readers: Vec<Reader>) -> u32 {
        if let Some(index) = self.free.pop() {
            self.lists[index as usize] = readers;
            return index;
        }
        self.lists.push(readers);
        self.lists.len() as u32 - 1
    }
}

/// Who the readers since the last write are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Readers {
    #[default]
    None,
    /// `read` alone.
    Thread,
    /// Lanes of one warp; `read` is the latest, `other` another.
    Warp,
    /// Warps of one block.
    Block,
    /// Several blocks. No barrier orders them, so none needs to be named.
    Launch,
    /// As listed.
    List(u32),
}

/// The shadow of 4, 2 or 1 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    write: Stamp,
    read: Stamp,
    other: Stamp,
    write_line: u32,
    read_line: u32,
    readers: Readers,
    /// How it was written; `None` if it was not.
    written: Option<Strength>,
    /// All readers since the last write were strong, of this scope.
    strong_readers: Option<Scope>,
}

impl Cell {
    /// Judges an access and notes it.
    #[inline]
    pub(super) fn touch(&mut self, view: &View<'_>, touch: Touch, lists: &mut Lists) -> Result<(), Prior> {
        if let Some(strength) = self.written
            && (strength == Strength::Pending || !view.knows(self.write))
        {
            self.judge_write(strength, view, touch)?;
        }
        if !touch.writes {
            self.add_reader(view, touch, lists);
            return Ok(());
        }
        if self.readers != Readers::None {
            self.judge_readers(view, touch, lists)?;
            self.forget_readers(lists);
        }
        self.write = view.me;
        self.write_line = touch.line;
        self.written = Some(touch.strength);
        Ok(())
    }

    /// Whether it was read, and whether it was written. What was read before a write is not told any more.
    pub(super) fn is_touched(&self) -> (bool, bool) {
        (self.readers != Readers::None, self.written.is_some())
    }

    /// A copy has been waited for by the thread that issued it: from now on it is an ordinary write of that thread.
    pub(super) fn settle(&mut self, now: Stamp) {
        if self.written == Some(Strength::Pending) && self.write.is_thread_of(now) {
            self.written = Some(Strength::Weak);
            self.write = now;
        }
    }

    /// A cell for a part of this one's bytes.
    pub(super) fn split(&self, lists: &mut Lists) -> Cell {
        let mut part = *self;
        if let Readers::List(index) = self.readers {
            let readers = lists.lists[index as usize].clone();
            part.readers = Readers::List(lists.create(readers));
        }
        part
    }

    #[cold]
    fn judge_write(&self, strength: Strength, view: &View<'_>, touch: Touch) -> Result<(), Prior> {
        let action = match strength {
            Strength::Strong(scope) if morally_strong(scope, touch.strength, self.write, view.me) => {
                return Ok(());
            }
            Strength::Strong(_) => Action::Atomic,
            Strength::Weak => Action::Write,
            Strength::Pending => Action::Copy,
        };
        Err(Prior { stamp: self.write, line: self.write_line, action })
    }

    fn judge_readers(&self, view: &View<'_>, touch: Touch, lists: &Lists) -> Result<(), Prior> {
        let known = match self.readers {
            Readers::None => true,
            Readers::Thread => view.knows(self.read),
            Readers::Warp => view.knows_warp(self.read),
            Readers::Block => view.knows_block(self.read),
            Readers::Launch => lists.exact && (view.knows_block(self.read) || view.knows_block(self.other)),
            Readers::List(index) => {
                let racing = lists.lists[index as usize].iter().find(|reader| {
                    let strong = match reader.strength {
                        Strength::Strong(scope) => {
                            morally_strong(scope, touch.strength, reader.stamp, view.me)
                        }
                        _ => false,
                    };
                    !view.knows(reader.stamp) && !strong
                });
                return racing.map_or(Ok(()), |reader| {
                    Err(Prior { stamp: reader.stamp, line: reader.line, action: Action::Read })
                });
            }
        };
        let strong = |scope| {
            morally_strong(scope, touch.strength, self.read, view.me)
                && morally_strong(scope, touch.strength, self.other, view.me)
        };
        if known || self.strong_readers.is_some_and(strong) {
            return Ok(());
        }
        let named = if view.knows(self.read) && !self.other.is_nobody() { self.other } else { self.read };
        Err(Prior { stamp: named, line: self.read_line, action: Action::Read })
    }

    fn forget_readers(&mut self, lists: &mut Lists) {
        if let Readers::List(index) = self.readers {
            lists.lists[index as usize] = Vec::new();
            lists.free.push(index);
        }
        self.readers = Readers::None;
        self.other = Stamp::NOBODY;
    }

    #[inline]
    fn add_reader(&mut self, view: &View<'_>, touch: Touch, lists: &mut Lists) {
        if lists.exact {
            return self.list_reader(view, touch, lists);
        }
        let scope = match touch.strength {
            Strength::Strong(scope) => Some(scope),
            _ => None,
        };
        let scope = if self.readers == Readers::None { scope } else { self.strong_readers.min(scope) };
        let widest = match self.readers {
            Readers::None => Readers::None,
            Readers::Launch => {
                self.strong_readers = scope;
                return;
            }
            Readers::Thread if view.knows(self.read) => Readers::None,
            Readers::Warp if view.knows_warp(self.read) => Readers::None,
            Readers::Block if view.knows_block(self.read) => Readers::None,
            widest => widest,
        };
        self.strong_readers = scope;
        if widest == Readers::None {
            self.other = Stamp::NOBODY;
            self.readers = Readers::Thread;
        } else {
            self.readers = match widest {
                _ if !self.read.is_block_of(view.me) => Readers::Launch,
                Readers::Block => Readers::Block,
                _ if !self.read.is_warp_of(view.me) => Readers::Block,
                _ => Readers::Warp,
            };
            if !self.read.is_thread_of(view.me) {
                self.other = self.read;
            }
        }
        self.read = view.me;
        self.read_line = touch.line;
    }

    #[cold]
    fn list_reader(&mut self, view: &View<'_>, touch: Touch, lists: &mut Lists) {
        let new = Reader { stamp: view.me, line: touch.line, strength: touch.strength };
        if let Readers::List(index) = self.readers {
            let list = &mut lists.lists[index as usize];
            list.retain(|reader| !view.knows(reader.stamp));
            list.push(new);
            return;
        }
        let strength = self.strong_readers.map_or(Strength::Weak, Strength::Strong);
        let line = self.read_line;
        let earlier = [self.read, self.other].map(|stamp| Reader { stamp, line, strength });
        let kept = if self.readers == Readers::None { &[][..] } else { &earlier };
        let unknown = |reader: &&Reader| !reader.stamp.is_nobody() && !view.knows(reader.stamp);
        let mut readers: Vec<Reader> = kept.iter().filter(unknown).copied().collect();
        readers.push(new);
        self.readers = Readers::List(lists.create(readers));
    }
}

/// Two strong accesses whose scopes hold both threads may meet without a race.
fn morally_strong(scope: Scope, present: Strength, prior: Stamp, me: Stamp) -> bool {
    match present {
        Strength::Strong(mine) => {
            prior.is_nobody() || prior.is_block_of(me) || scope.min(mine) == Scope::Device
        }
        _ => false,
    }
}
