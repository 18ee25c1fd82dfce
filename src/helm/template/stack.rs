//! How much of the thread's stack is left.

/// Measures the stack from where it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StackGuard {
    base: usize,
    allowed: usize,
}

#[inline(never)]
fn here() -> usize {
    let marker = 0_u8;
    std::ptr::from_ref(&marker).addr()
}

impl StackGuard {
    /// A guard for a stack of that size, made near its beginning.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            base: here(),
            allowed: size - size / 8,
        }
    }

    /// Whether deeper calls are still safe.
    pub(crate) fn has_room(self) -> bool {
        self.base.abs_diff(here()) < self.allowed
    }
}
