// SPDX-License-Identifier: MIT
// The same in Rust: a generic function in a module, called from C.
mod shelf {
    #[inline(never)]
    pub fn stack<T: Clone>(item: &T, count: usize) -> Vec<T> {
        let mut all = Vec::with_capacity(count); // MARK inner
        all.resize(count, item.clone());
        all
    }
}

#[no_mangle]
pub extern "C" fn sample_rust(count: usize) -> usize {
    shelf::stack(&7u64, count).len()
}
