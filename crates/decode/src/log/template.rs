//! Log templates: lines grouped by what is constant in them.
//!
//! The method is Drain's (He, Zhu, Zheng, Lyu: "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017):
//! a line's masked words lead through a tree of fixed depth, by the number of words and the first of them, to a few
//! templates; the most similar takes the line, and words that differ become [`WILDCARD`]; if none is similar enough, the
//! line is a new template. A template keeps at least the share of constant words that the threshold asks for, so no
//! template becomes all wildcards.
//!
//! For lines that are JSON, hand in the message: the text of fields would be masked as quoted.
//!
//! # Many threads, the same templates
//!
//! Which templates come out depends on the order of lines. So that it does not depend on the number of threads too, cut
//! the lines at fixed places ([`BLOCK`] lines, whatever the number of threads), mine each block with a [`Miner`] of its
//! own on whatever thread, and [`merge`](Miner::merge) the miners into the first in the order of the blocks. Each step
//! then sees the same input, whoever took it; the ids that a block gave are translated by what `merge` returns.

use std::collections::HashMap;

use super::mask::Masked;

/// Lines of a block; see the module.
pub const BLOCK: usize = 16_384;

/// What stands in a pattern for words that differ.
pub const WILDCARD: &str = "<*>";

/// Words that lead through the tree, behind the number of words. With two, `user alice logged in` and `user bob logged in`
/// would part before they are compared.
const DEPTH: usize = 1;

/// Number of a template, in the order of their first lines, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateId(pub u32);

impl TemplateId {
    /// The lines of no template, because the bound was reached.
    pub const OVERFLOW: TemplateId = TemplateId(0);
}

/// How a miner works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Words of a line in a hundred that must be those of the template, 1 to 100.
    pub similarity: u8,
    /// Templates that are kept; further lines that fit none are counted as overflow.
    pub templates: usize,
    /// Words that lead on from one place of the tree; further ones share a way.
    pub children: usize,
}

impl Default for Config {
    /// Half of the words, 2000 templates, 100 words.
    fn default() -> Config {
        Config { similarity: 50, templates: 2000, children: 100 }
    }
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    words: Vec<Word>,
    /// Lines that it took.
    pub count: u64,
}

/// A word of a template: `None` where lines differ. And whether something in it is masked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: Option<Box<[u8]>>,
    masked: bool,
}

impl Template {
    /// Its words with one space between them: constant ones, masks (`<num>`, `<hex>`, `<uuid>`, `<ip>`, `<path>`,
    /// `<str>`, `<id>`), and [`WILDCARD`]. Hostile, as the lines are.
    pub fn pattern(&self) -> String {
        let mut out = String::new();
        for (i, word) in self.words.iter().enumerate() {
            if i > 0 {
                out.push(' ');
            }
            match &word.text {
                Some(text) => out.push_str(&String::from_utf8_lossy(text)),
                None => out.push_str(WILDCARD),
            }
        }
        out
    }
}

/// What a miner places: the words of a line, or of another miner's template.
trait Words {
    fn len(&self) -> usize;
    /// A word, and whether it leads through the tree: one that is masked does not.
    fn word(&self, i: usize) -> (Option<&[u8]>, bool);
}

impl Words for Masked {
    fn len(&self) -> usize {
        Masked::len(self)
    }

    fn word(&self, i: usize) -> (Option<&[u8]>, bool) {
        let (text, masked) = Masked::word(self, i);
        (Some(text), !masked)
    }
}

impl Words for [Word] {
    fn len(&self) -> usize {
        <[Word]>::len(self)
    }

    fn word(&self, i: usize) -> (Option<&[u8]>, bool) {
        let word = &self[i];
        (word.text.as_deref(), word.text.is_some() && !word.masked)
    }
}

#[derive(Debug, Clone, Default)]
struct Node {
    children: HashMap<Box<[u8]>, usize>,
    /// For masked words and wildcards, and for words beyond the bound.
    any: Option<usize>,
    /// Places in the list of templates, ascending.
    templates: Vec<usize>,
}

/// Finds the templates of lines as they come.
#[derive(Debug, Clone)]
pub struct Miner {
    config: Config,
    templates: Vec<Template>,
    overflow: u64,
    /// By number of words.
    roots: HashMap<usize, usize>,
    nodes: Vec<Node>,
    /// Used again for each line.
    line: Masked,
}

impl Default for Miner {
    fn default() -> Miner {
        Miner::new(Config::default())
    }
}

impl Miner {
    /// A miner that has seen nothing.
    pub fn new(config: Config) -> Miner {
        Miner {
            config,
            templates: Vec::new(),
            overflow: 0,
            roots: HashMap::new(),
            nodes: Vec::new(),
            line: Masked::default(),
        }
    }

    /// Takes a line; hands out its template.
    pub fn add(&mut self, line: &[u8]) -> TemplateId {
        let mut words = std::mem::take(&mut self.line);
        words.read(line);
        let id = self.place(&words, 1);
        self.line = words;
        id
    }

    /// Takes over what another miner found, which must work in the same way. Hands out the id here of each id there,
    /// that of overflow first.
    pub fn merge(&mut self, other: &Miner) -> Vec<TemplateId> {
        self.overflow = self.overflow.saturating_add(other.overflow);
        let placed = other.templates.iter().map(|t| self.place(&t.words[..], t.count));
        [TemplateId::OVERFLOW].into_iter().chain(placed).collect()
    }

    /// A template by its id; `None` for overflow.
    pub fn template(&self, id: TemplateId) -> Option<&Template> {
        self.templates.get((id.0 as usize).checked_sub(1)?)
    }

    /// All templates with their ids, in order.
    pub fn templates(&self) -> impl Iterator<Item = (TemplateId, &Template)> {
        (1..).map(TemplateId).zip(&self.templates)
    }

    /// Lines of no template.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    fn place<W: Words + ?Sized>(&mut self, words: &W, count: u64) -> TemplateId {
        if let Some(found) = self.leaf(words).and_then(|leaf| self.most_similar(leaf, words)) {
            let template = &mut self.templates[found];
            for (i, word) in template.words.iter_mut().enumerate() {
                if word.text.as_deref() != words.word(i).0 {
                    word.text = None;
                }
            }
            template.count = template.count.saturating_add(count);
            return TemplateId(found as u32 + 1);
        }
        if self.templates.len() >= self.config.templates.min(u32::MAX as usize - 1) {
            self.overflow = self.overflow.saturating_add(count);
            return TemplateId::OVERFLOW;
        }
        let leaf = self.grown_leaf(words);
        self.nodes[leaf].templates.push(self.templates.len());
        let word = |i| {
            let (text, leads) = words.word(i);
            Word { text: text.map(Box::from), masked: !leads }
        };
        self.templates.push(Template { words: (0..words.len()).map(word).collect(), count });
        TemplateId(self.templates.len() as u32)
    }

    /// The place in the tree to which the words lead, if there is one.
    fn leaf<W: Words + ?Sized>(&self, words: &W) -> Option<usize> {
        let mut at = *self.roots.get(&words.len())?;
        for i in 0..words.len().min(DEPTH) {
            let node = &self.nodes[at];
            at = match words.word(i) {
                (Some(text), true) => node.children.get(text).copied().or(node.any)?,
                _ => node.any?,
            };
        }
        Some(at)
    }

    /// The same place, made where it is missing.
    fn grown_leaf<W: Words + ?Sized>(&mut self, words: &W) -> usize {
        let nodes = &mut self.nodes;
        let fresh = |nodes: &mut Vec<Node>| {
            nodes.push(Node::default());
            nodes.len() - 1
        };
        let mut at = *self.roots.entry(words.len()).or_insert_with(|| fresh(nodes));
        for i in 0..words.len().min(DEPTH) {
            let leading = match words.word(i) {
                (Some(text), true) => Some(text),
                _ => None,
            };
            if let Some(&child) = leading.and_then(|text| nodes[at].children.get(text)) {
                at = child;
                continue;
            }
            let room = nodes[at].children.len() < self.config.children;
            at = match (leading.filter(|_| room), nodes[at].any) {
                (Some(text), _) => {
                    let child = fresh(nodes);
                    nodes[at].children.insert(text.into(), child);
                    child
                }
                (None, Some(any)) => any,
                (None, None) => {
                    let child = fresh(nodes);
                    nodes[at].any = Some(child);
                    child
                }
            };
        }
        at
    }

    /// Of the templates at a place the one with most words in common, if they are enough; among equals the one with
    /// more wildcards, then the older.
    fn most_similar<W: Words + ?Sized>(&self, leaf: usize, words: &W) -> Option<usize> {
        let mut best: Option<((usize, usize), usize)> = None;
        let total = words.len();
        let needed = (usize::from(self.config.similarity) * total).div_ceil(100);
        let may_differ = total.checked_sub(needed)?;
        'templates: for &at in &self.nodes[leaf].templates {
            let (mut equal, mut wildcards, mut differ) = (0, 0, 0);
            for (i, word) in self.templates[at].words.iter().enumerate() {
                match &word.text {
                    Some(text) if words.word(i).0 == Some(text) => equal += 1,
                    text => {
                        wildcards += usize::from(text.is_none());
                        differ += 1;
                        if differ > may_differ {
                            continue 'templates;
                        }
                    }
                }
            }
            if best.is_none_or(|(most, _)| (equal, wildcards) > most) {
                best = Some(((equal, wildcards), at));
            }
        }
        best.map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn patterns(miner: &Miner) -> Vec<(String, u64)> {
        miner.templates().map(|(_, t)| (t.pattern(), t.count)).collect()
    }

    #[test]
    fn lines_are_grouped_by_what_is_constant() {
        let mut m = Miner::default();
        let ids: Vec<u32> = [
            "connected to db-1 at 10.0.0.1:5432 in 5ms",
            "user alice logged in",
            "connected to db-7 at 10.0.0.2:5432 in 12ms",
            "user bob logged in",
            "user bob was logged out",
            "",
        ]
        .iter()
        .map(|l| m.add(l.as_bytes()).0)
        .collect();
        assert_eq!(ids, [1, 2, 1, 2, 3, 4]);
        let want = [
            ("connected to db-<num> at <ip>:<num> in <num>ms", 2),
            ("user <*> logged in", 2),
            ("user bob was logged out", 1),
            ("", 1),
        ];
        assert_eq!(patterns(&m), want.map(|(pattern, count)| (pattern.to_owned(), count)));
        assert_eq!(m.template(TemplateId::OVERFLOW), None);
    }

    #[test]
    fn words_that_differ_become_wildcards() {
        let mut m = Miner::default();
        for who in ["alice", "bob", "carol"] {
            m.add(format!("session opened for user {who} by root").as_bytes());
        }
        assert_eq!(patterns(&m), [("session opened for user <*> by root".to_owned(), 3)]);
    }

    #[test]
    fn lines_beyond_the_bound_are_counted_as_overflow() {
        let mut m = Miner::new(Config { templates: 2, ..Config::default() });
        let ids = ["a", "b b", "c c c", "a", "d"].map(|l| m.add(l.as_bytes()));
        assert_eq!(ids.map(|i| i.0), [1, 2, 0, 1, 0]);
        assert_eq!((m.overflow(), m.templates().count()), (2, 2));
        let mut all = Miner::new(Config { templates: 2, ..Config::default() });
        all.add(b"z z z z");
        assert_eq!(all.merge(&m).iter().map(|i| i.0).collect::<Vec<_>>(), [0, 2, 0]);
        assert_eq!(all.overflow(), 3);
    }

    #[test]
    fn words_beyond_the_bound_of_the_tree_share_a_way() {
        let mut m = Miner::new(Config { children: 3, similarity: 60, ..Config::default() });
        for i in 0..50u8 {
            let name = [b'a' + i % 26, b'a' + i / 26];
            m.add(&[&name[..], b" said hello there"].concat());
        }
        assert_eq!(patterns(&m).last().map(|p| (&*p.0, p.1)), Some(("<*> said hello there", 47)));
        assert_eq!(m.templates().count(), 4);
    }

    /// Lines of a few shapes, whose words are told by a number.
    fn lines(seeds: &[u32]) -> Vec<String> {
        let words = ["open", "read", "write", "alice", "bob", "disk", "failed", "ok"];
        let word = |n: u32| words[n as usize % words.len()];
        let line = |&s: &u32| match s % 4 {
            0 => format!("{} file /var/{s} took {s}ms", word(s / 4)),
            1 => format!("user {} from 10.0.0.{} {}", word(s / 4), s % 256, word(s / 32)),
            2 => format!("{} {} {}", word(s / 4), word(s / 32), word(s / 256)),
            _ => format!("worker {} is {} and {}", s, word(s / 4), word(s / 32)),
        };
        seeds.iter().map(line).collect()
    }

    /// As the module says: blocks on threads, merged in order. Templates, and the template of each line.
    fn mined(lines: &[String], block: usize, threads: usize) -> (Vec<(String, u64)>, Vec<TemplateId>) {
        let blocks: Vec<&[String]> = lines.chunks(block).collect();
        let mine = |lines: &[String]| {
            let mut m = Miner::default();
            let ids: Vec<TemplateId> = lines.iter().map(|l| m.add(l.as_bytes())).collect();
            (m, ids)
        };
        let mut done: Vec<(usize, (Miner, Vec<TemplateId>))> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads)
                .map(|t| {
                    let (blocks, mine) = (&blocks, &mine);
                    scope.spawn(move || {
                        (t..blocks.len()).step_by(threads).map(|i| (i, mine(blocks[i]))).collect::<Vec<_>>()
                    })
                })
                .collect();
            handles.into_iter().flat_map(|h| h.join().unwrap()).collect()
        });
        done.sort_by_key(|(i, _)| *i);
        let (mut all, mut ids) = (Miner::default(), Vec::new());
        for (_, (miner, of_lines)) in done {
            let here = all.merge(&miner);
            ids.extend(of_lines.iter().map(|id| here[id.0 as usize]));
        }
        (patterns(&all), ids)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_number_of_threads_gives_the_same_templates(seeds in prop::collection::vec(any::<u32>(), 0..200)) {
            let lines = lines(&seeds);
            let one = mined(&lines, 16, 1);
            for threads in [2, 3, 8] {
                prop_assert_eq!(&mined(&lines, 16, threads), &one);
            }
            prop_assert_eq!(one.0.iter().map(|t| t.1).sum::<u64>(), lines.len() as u64);
        }

        #[test]
        fn merging_a_miner_into_an_empty_one_changes_nothing(seeds in prop::collection::vec(any::<u32>(), 0..100)) {
            let mut one = Miner::default();
            for line in lines(&seeds) {
                one.add(line.as_bytes());
            }
            let mut other = Miner::default();
            let ids = other.merge(&one);
            // Templates that grew alike may become one.
            prop_assert_eq!(ids.len(), one.templates().count() + 1);
            prop_assert!(other.templates().count() <= one.templates().count());
            prop_assert_eq!(other.templates().map(|t| t.1.count).sum::<u64>(), seeds.len() as u64);
        }

        #[test]
        fn never_panics_on_any_bytes(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let mut m = Miner::new(Config { similarity: 30, templates: 5, children: 2 });
            for line in &lines {
                let id = m.add(line);
                prop_assert!(id == TemplateId::OVERFLOW || m.template(id).is_some());
            }
            let mut other = m.clone();
            other.merge(&m);
            prop_assert_eq!(other.templates().map(|t| t.1.count).sum::<u64>() + other.overflow(), 2 * lines.len() as u64);
        }
    }
}
