//! Datagrams that wait: the oldest give way.

use std::collections::VecDeque;

use bytes::Bytes;

#[derive(Debug)]
pub(super) struct Dropping {
    waiting: VecDeque<Bytes>,
    max: usize,
}

impl Dropping {
    pub(super) fn new(max: usize) -> Self {
        Self { waiting: VecDeque::new(), max }
    }

    pub(super) fn push(&mut self, datagram: Bytes) {
        if self.waiting.len() >= self.max {
            self.waiting.pop_front();
        }
        self.waiting.push_back(datagram);
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.waiting.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.waiting = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_give_way() {
        let mut queue = Dropping::new(3);
        (0..10_u8).for_each(|number| queue.push(Bytes::copy_from_slice(&[number])));
        let left: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|datagram| datagram[0]).collect();
        assert_eq!(left, [7, 8, 9]);
        assert!(queue.is_empty());
    }
}
