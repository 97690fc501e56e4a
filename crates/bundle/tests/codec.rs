//! Properties of the column codec: whatever the columns, they come back, and the same again after an append.
#![allow(clippy::unwrap_used)]

use coldcase_bundle::{Identity, internals};
use coldcase_model::column::{StackColumn, TextColumn};
use coldcase_model::{Column, Columns, Ip};
use proptest::collection::vec;
use proptest::prelude::*;

/// Numbers as they occur: small, near each other, rising, or anything.
fn numbers(rows: usize) -> impl Strategy<Value = Vec<u64>> {
    prop_oneof![
        vec(any::<u64>(), rows),
        vec(0u64..4, rows),
        vec(0u64..5000, rows).prop_map(|v| v.iter().map(|x| x + (1 << 40)).collect()),
        vec(0u64..100_000, rows).prop_map(|v| {
            let mut sum = 1u64 << 50;
            v.iter()
                .map(|x| {
                    sum += x;
                    sum
                })
                .collect()
        }),
    ]
}

fn floats(rows: usize) -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        vec(any::<f64>(), rows),
        vec(-1_000_000i64..1_000_000, rows).prop_map(|v| v.iter().map(|x| *x as f64).collect()),
        vec(
            prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(9_007_199_254_740_993.0)],
            rows
        ),
    ]
}

fn text(rows: usize) -> impl Strategy<Value = Column> {
    vec(vec(any::<u8>(), 0..12), 1..20).prop_flat_map(move |entries| {
        vec(0..entries.len(), rows).prop_map(move |ids| {
            let mut c = TextColumn::default();
            ids.iter().for_each(|id| c.push(&entries[*id]));
            Column::Text(c)
        })
    })
}

fn stack(rows: usize) -> impl Strategy<Value = Column> {
    vec(vec(prop_oneof![any::<u64>(), 0x7f00u64..0x7f20], 0..40), 1..12).prop_flat_map(move |entries| {
        vec(0..entries.len(), rows).prop_map(move |ids| {
            let mut c = StackColumn::default();
            ids.iter().for_each(|id| c.push(&entries[*id]));
            Column::Stack(c)
        })
    })
}

fn columns() -> impl Strategy<Value = Columns> {
    (1usize..900).prop_flat_map(|rows| {
        let n = || numbers(rows);
        let plain = (n(), n(), n(), n(), n(), n(), floats(rows), vec(any::<[u8; 16]>(), rows), n());
        (plain, text(rows), stack(rows)).prop_map(|((a, b, c, d, e, f, g, h, i), text, stack)| {
            let all = [
                ("u8", Column::U8(a.iter().map(|v| *v as u8).collect())),
                ("u16", Column::U16(b.iter().map(|v| *v as u16).collect())),
                ("u32", Column::U32(c.iter().map(|v| *v as u32).collect())),
                ("time", Column::U64(d)),
                ("i32", Column::I32(e.iter().map(|v| *v as i32).collect())),
                ("i64", Column::I64(f.iter().map(|v| *v as i64).collect())),
                ("f64", Column::F64(g)),
                ("ip", Column::Ip(h.into_iter().map(Ip).collect())),
                ("duration", Column::U64(i)),
                ("text", text),
                ("stack", stack),
            ];
            let (names, columns): (Vec<_>, Vec<_>) = all.into_iter().map(|(n, c)| (n.into(), c)).unzip();
            Columns::from_parts(names, columns).unwrap()
        })
    })
}

/// Equal, NaN included.
fn same(a: &Columns, b: &Columns) -> bool {
    a.names == b.names
        && a.columns.iter().zip(&b.columns).all(|(a, b)| match (a, b) {
            (Column::F64(a), Column::F64(b)) => a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits())),
            (a, b) => a == b,
        })
}

proptest! {
    #[test]
    fn columns_of_every_type_come_back(columns in columns(), first in 0u64..1 << 60) {
        let bytes = internals::encode_batch("any", first, &columns, &Identity).unwrap();
        let (number, back) = internals::decode(&bytes).unwrap();
        prop_assert_eq!(number, first);
        prop_assert!(same(&back, &columns));
    }

    #[test]
    fn slices_appended_again_are_the_whole(columns in columns(), at in 0usize..900) {
        let at = at.min(columns.len());
        let mut joined = columns.slice(0..at);
        joined.append(columns.slice(at..columns.len())).unwrap();
        prop_assert!(same(&joined.slice(0..joined.len()), &columns.slice(0..columns.len())));
    }

    #[test]
    fn intervals_come_back_though_their_ends_are_stored(starts in vec(any::<u64>(), 1..600), durations in vec(any::<u64>(), 600)) {
        let n = starts.len();
        // Ends rise, so that they are the smaller choice.
        let ends: Vec<u64> = (0..n as u64).map(|i| i * 1000).collect();
        let durations = durations[..n].to_vec();
        let times = ends.iter().zip(&durations).map(|(e, d)| e.wrapping_sub(*d)).collect();
        let columns = Columns::from_parts(
            vec!["time".into(), "duration".into()],
            vec![Column::U64(times), Column::U64(durations)],
        ).unwrap();
        let bytes = internals::encode_batch("any", 0, &columns, &Identity).unwrap();
        prop_assert!(n < 20 || bytes.windows(5).any(|w| w == b"minus"));
        prop_assert_eq!(internals::decode(&bytes).unwrap().1, columns);
    }
}
