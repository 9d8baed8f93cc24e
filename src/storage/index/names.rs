//! The subjects of a stream in the order of their names, for questions about those that begin
//! alike. Made when such questions have cost more than the order does, kept while it is asked.

/// Subjects in one piece; a full one is cut in two.
const PIECE: usize = 512;

/// Ids, by name. Whoever calls tells the names.
#[derive(Default, Debug)]
pub struct Names {
    /// None is empty.
    pieces: Vec<Vec<u32>>,
    /// Changes since it was last asked.
    pub unasked: usize,
}

impl Names {
    /// Of all these subjects. Names are compared by eight bytes behind what all have in common,
    /// and as a whole only where these are the same.
    pub fn new<'n>(subjects: impl Iterator<Item = (u32, &'n [u8])> + Clone) -> Self {
        let mut shared: Option<&[u8]> = None;
        for (_, name) in subjects.clone() {
            let so_far = shared.unwrap_or(name);
            let len = so_far.iter().zip(name).take_while(|(a, b)| a == b).count();
            shared = Some(&so_far[..len]);
        }
        let skip = shared.map_or(0, <[u8]>::len);
        let key = |name: &[u8]| {
            let mut key = [0; 8];
            let rest = &name[skip..];
            let len = rest.len().min(8);
            key[..len].copy_from_slice(&rest[..len]);
            u64::from_be_bytes(key)
        };
        let mut keyed: Vec<(u64, u32, &[u8])> =
            subjects.map(|(id, name)| (key(name), id, name)).collect();
        keyed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.2.cmp(b.2)));
        let pieces = keyed.chunks(PIECE / 2).map(|piece| piece.iter().map(|row| row.1).collect());
        Self { pieces: pieces.collect(), unasked: 0 }
    }

    pub fn insert<'n>(&mut self, id: u32, name: &[u8], name_of: impl Fn(u32) -> &'n [u8]) {
        self.unasked += 1;
        let (at, within) = self.find(name, &name_of);
        let Some(piece) = self.pieces.get_mut(at) else {
            self.pieces.push(vec![id]);
            return;
        };
        piece.insert(within, id);
        if piece.len() > PIECE {
            let half = piece.split_off(PIECE / 2);
            self.pieces.insert(at + 1, half);
        }
    }

    pub fn remove<'n>(&mut self, id: u32, name: &[u8], name_of: impl Fn(u32) -> &'n [u8]) {
        self.unasked += 1;
        let (at, within) = self.find(name, &name_of);
        let Some(piece) = self.pieces.get_mut(at) else { return };
        if piece.get(within) == Some(&id) {
            piece.remove(within);
        }
        if piece.is_empty() {
            self.pieces.remove(at);
        }
    }

    /// Those whose names begin so, if they are at most `most`.
    pub fn beginning<'n>(
        &self,
        prefix: &[u8],
        most: usize,
        name_of: impl Fn(u32) -> &'n [u8],
    ) -> Option<Vec<u32>> {
        let (first, within) = self.find(prefix, &name_of);
        let mut ids = Vec::new();
        let rest = self.pieces.get(first).and_then(|piece| piece.get(within..)).unwrap_or(&[]);
        let behind = self.pieces.iter().skip(first + 1).flatten();
        for &id in rest.iter().chain(behind) {
            if !name_of(id).starts_with(prefix) {
                break;
            }
            if ids.len() == most {
                return None;
            }
            ids.push(id);
        }
        Some(ids)
    }

    /// The piece and the place in it of the first name that is not before this one.
    fn find<'n>(&self, name: &[u8], name_of: &impl Fn(u32) -> &'n [u8]) -> (usize, usize) {
        let is_before = |piece: &Vec<u32>| piece.first().is_some_and(|&id| name_of(id) <= name);
        let at = self.pieces.partition_point(is_before).saturating_sub(1);
        let piece = self.pieces.get(at).map_or(&[][..], Vec::as_slice);
        let within = piece.partition_point(|&id| name_of(id) < name);
        // Behind the last of a piece stands the first of the next.
        if within == piece.len() && at + 1 < self.pieces.len() { (at + 1, 0) } else { (at, within) }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.pieces.len() * (PIECE * size_of::<u32>() + size_of::<Vec<u32>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_as_a_map(
            start in proptest::collection::btree_set("[ab.]{1,12}", 0..900),
            acts in proptest::collection::vec(("[ab.]{1,12}", any::<bool>()), 0..900),
        ) {
            let mut texts: Vec<String> = start.into_iter().collect();
            let mut model: BTreeMap<String, u32> = texts.iter().cloned().zip(0..).collect();
            let rows: Vec<(u32, &[u8])> = (0..).zip(texts.iter().map(String::as_bytes)).collect();
            let mut names = Names::new(rows.iter().copied());
            for (text, add) in acts {
                match (model.get(&text).copied(), add) {
                    (None, true) => {
                        let id = texts.len() as u32;
                        texts.push(text.clone());
                        names.insert(id, text.as_bytes(), |id| texts[id as usize].as_bytes());
                        model.insert(text, id);
                    }
                    (Some(id), false) => {
                        names.remove(id, text.as_bytes(), |id| texts[id as usize].as_bytes());
                        model.remove(&text);
                    }
                    _ => {}
                }
            }
            for prefix in ["", "a", "b.", "ab", "ba.", ".", "bbbb"] {
                let expected: Vec<u32> = model
                    .iter()
                    .filter(|(text, _)| text.starts_with(prefix))
                    .map(|(_, &id)| id)
                    .collect();
                let name_of = |id: u32| texts[id as usize].as_bytes();
                let found = names.beginning(prefix.as_bytes(), usize::MAX, name_of);
                prop_assert_eq!(found.as_ref(), Some(&expected));
                if let Some(fewer) = expected.len().checked_sub(1) {
                    prop_assert_eq!(names.beginning(prefix.as_bytes(), fewer, name_of), None);
                }
            }
        }
    }
}
