#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

/// The reason for which a page is refused; it is given its end.
fn refused(body: &str) -> (u32, Reason) {
    let e = parse(format!("{body}# EOF\n").as_bytes()).unwrap_err();
    (e.line, e.reason)
}

fn read(body: &str) -> Vec<Family> {
    parse(format!("{body}# EOF\n").as_bytes()).unwrap()
}

#[test]
fn a_family_has_its_metadata_samples_exemplars_and_created() {
    let families = read(
        "# HELP req_seconds How \\\"long\\\"\\n.\n# TYPE req_seconds counter\n# UNIT req_seconds seconds\n\
         req_seconds_total{a=\"\\\\\"} 9007199254740993 1.5 # {trace_id=\"ab\"} 0.25 1.000000001\n\
         req_seconds_created{a=\"\\\\\"} 1.5e9 1.5\nother 1\n",
    );
    let f = &families[0];
    assert_eq!(
        (&*f.name, f.kind, &*f.unit, &*f.help),
        ("req_seconds", FamilyKind::Counter, "seconds", "How \"long\"\n.")
    );
    assert_eq!((f.samples[0].time, &*f.samples[0].kind, f.samples[0].line), (Some(1_500_000_000), "counter", 4));
    assert_eq!(f.created().map(|c| c.1).collect::<Vec<_>>(), [1.5e9]);
    let (sample, exemplar) = f.exemplars().next().unwrap();
    assert_eq!((&*sample.name, exemplar.label("trace_id")), ("req_seconds_total", Some("ab")));
    assert_eq!((exemplar.value, exemplar.time), (0.25, Some(1_000_000_001)));
    assert_eq!((&*families[1].name, families[1].kind, families[1].line), ("other", FamilyKind::Unknown, 6));
}

#[test]
fn names_in_quotes_may_be_any_text() {
    let families = read("# TYPE \"my.reqs\" counter\n{\"my.reqs_total\",\"a.b\"=\"c\"} 1\n");
    assert_eq!((&*families[0].name, &*families[0].samples[0].name), ("my.reqs", "my.reqs_total"));
    assert_eq!(families[0].samples[0].labels, [("a.b".to_owned(), "c".to_owned())]);
    assert_eq!(read("{__name__=\"a\"} 1\n")[0].name, "a");
    assert_eq!(refused("a{\"b\"} 1\n").1, Reason::Syntax("two names"));
    assert_eq!(refused("a{__name__=\"b\"} 1\n").1, Reason::Syntax("two names"));
    assert_eq!(refused("# HELP \"\" x\n").1, Reason::Name);
    assert_eq!(refused("a{__b=\"1\"} 1\n").1, Reason::Syntax("a reserved label name"));
}

#[test]
fn the_end_is_one_eof_line_and_nothing_behind_it() {
    assert_eq!(parse(b"a 1\n# EOF").unwrap().len(), 1);
    assert_eq!(parse(b"").unwrap_err(), OpenMetricsError { line: 1, reason: Reason::NoEof });
    assert_eq!(parse(b"a 1\n").unwrap_err(), OpenMetricsError { line: 2, reason: Reason::NoEof });
    for page in ["# EOF\n\n", "# EOF\n# EOF\n", "# EOF\na 1"] {
        assert_eq!(parse(page.as_bytes()).unwrap_err().reason, Reason::AfterEof, "{page}");
    }
    assert_eq!(refused("\n").1, Reason::Blank);
    assert_eq!(parse(b"\n").unwrap_err().reason, Reason::Blank);
    assert_eq!(parse(b"a 1\r\n# EOF\r\n").unwrap_err().reason, Reason::Syntax("not a number"));
}

#[test]
fn blanks_stand_where_the_grammar_has_them_and_nowhere_else() {
    for line in [
        "a  1",
        "a\t1",
        " a 1",
        "a 1 ",
        "a 1  1",
        "a{a=\"1\"}1",
        "a{ a=\"1\"} 1",
        "a{a=\"1\",} 1",
        "a{,a=\"1\"} 1",
        "a{a=\"1\",,b=\"2\"} 1",
        "a {a=\"1\"} 1",
        "# HELP",
        "# HELP a",
        "#HELP a b",
        "# X a b",
        "# TYPE a gauge ",
        "inf",
        "a",
        "a 1 1 1",
        "a 1 # {} 1 ",
        "a 1 # {}1",
        "a 1 #{} 1",
        "a{b:c=\"1\"} 1",
    ] {
        assert!(parse(format!("{line}\n# EOF\n").as_bytes()).is_err(), "{line}");
    }
    assert_eq!(read("# HELP a \n")[0].help, "");
}

#[test]
fn numbers_are_those_of_the_grammar() {
    for good in ["1", "+1", "-1.", ".5", "1e5", "1E-5", "+Inf", "-inf", "INFINITY", "nan", "00001", "1e999"] {
        assert_eq!(read(&format!("a {good}\n"))[0].samples.len(), 1, "{good}");
    }
    for bad in ["", "1_2", "0x1", "0b1", "1e", "e1", ".", "--1", "١", "1,5", "infinit"] {
        assert!(parse(format!("a {bad}\n# EOF\n").as_bytes()).is_err(), "{bad}");
    }
    for bad in ["NaN", "Inf", "1z", "1.1.1", "1_2", "1.5z", "1.-5", "1.123456789z"] {
        assert_eq!(refused(&format!("a 1 {bad}\n")).1, Reason::Syntax("not a timestamp"), "{bad}");
    }
    assert_eq!(read("a 1 -1.5\n")[0].samples[0].time, Some(-1_500_000_000));
    assert_eq!(read("a 1 1e300\n")[0].samples[0].time, Some(i64::MAX));
}

#[test]
fn metadata_stands_once_and_before_its_samples() {
    assert_eq!(refused("a 1\n# HELP a x\n"), (2, Reason::MetadataLate));
    assert_eq!(refused("# TYPE a gauge\n# TYPE a gauge\n"), (2, Reason::MetadataTwice("TYPE")));
    assert_eq!(refused("# HELP a x\n# HELP a x\n"), (2, Reason::MetadataTwice("HELP")));
    assert_eq!(refused("# TYPE a untyped\n").1, Reason::Type);
    assert_eq!(refused("# UNIT a_seconds bytes\n"), (1, Reason::Unit));
    assert_eq!(refused("# TYPE a_s info\n# UNIT a_s s\n"), (1, Reason::UnitOfType));
    assert_eq!(read("# UNIT a \n")[0].unit, "");
}

#[test]
fn two_families_do_not_share_a_name() {
    assert_eq!(refused("# TYPE a counter\na_total 1\n# TYPE b gauge\n# TYPE a_total gauge\n"), (4, Reason::Clash));
    assert_eq!(refused("# TYPE a counter\na 1\n"), (2, Reason::Clash));
    assert_eq!(refused("a 1\nb 1\na 2\n"), (3, Reason::Clash));
}

#[test]
fn samples_of_a_metric_stand_together_in_the_order_of_time() {
    let body = |lines: &str| format!("# TYPE a gauge\n{lines}");
    assert_eq!(refused(&body("a{x=\"1\"} 1\na{x=\"2\"} 1\na{x=\"1\"} 1\n")), (4, Reason::Grouping));
    assert_eq!(refused(&body("a 1 2\na 1\n")), (3, Reason::SomeTimes));
    assert_eq!(refused(&body("a 1 1.1\na 1 1\n")), (3, Reason::TimeBackwards));
    assert_eq!(refused(&body("a 1 1.000000002\na 1 1.000000001\n")).1, Reason::TimeBackwards);
    // The same series at the same time is left out.
    assert_eq!(read(&body("a 1 1\na 2 1\na 3 2\n"))[0].samples.len(), 2);
    assert_eq!(read("# TYPE a info\na_info{x=\"1\"} 1 2\na_info{x=\"2\"} 1 1\n")[0].samples.len(), 2);
}

#[test]
fn each_type_has_its_labels_and_values() {
    assert_eq!(refused("# TYPE a stateset\na 0\n").1, Reason::StateLabel);
    assert_eq!(refused("# TYPE a stateset\na{a=\"b\"} 0.5\n").1, Reason::State);
    assert_eq!(refused("# TYPE a info\na_info 2\n").1, Reason::Info);
    for quantile in ["1.01", "-1", "NaN", "x", ""] {
        assert_eq!(refused(&format!("# TYPE a summary\na{{quantile=\"{quantile}\"}} 1\n")).1, Reason::Quantile);
    }
    assert_eq!(refused("# TYPE a summary\na{quantile=\"1\"} -1\n").1, Reason::QuantileNegative);
    assert_eq!(refused("# TYPE a summary\na_count 1.5\n").1, Reason::NotWhole);
    assert_eq!(refused("# TYPE a summary\na_sum NaN\n").1, Reason::CountNan);
    assert_eq!(refused("# TYPE a counter\na_total -1\n").1, Reason::CountNegative);
    assert_eq!(refused("# TYPE a gauge\na 1 # {} 1\n").1, Reason::ExemplarPlace);
    let long = |n| format!("# TYPE a counter\na_total 1 # {{a=\"{}\"}} 1\n", "☃".repeat(n));
    assert_eq!(read(&long(127))[0].exemplars().count(), 1);
    assert_eq!(refused(&long(128)).1, Reason::ExemplarLong);
}

#[test]
fn a_histogram_is_whole_and_agrees_with_itself() {
    let h = |lines: &str| format!("# TYPE a histogram\n{lines}");
    let inf = "a_bucket{le=\"+Inf\"} 2\n";
    assert_eq!(refused(&h("a_count 1\na_sum 1\n")).1, Reason::NoInfBucket);
    assert_eq!(refused(&h("a_bucket{le=\"Inf\"} 1\n")).1, Reason::Le);
    assert_eq!(refused(&h("a_bucket{le=\"NaN\"} 1\n")).1, Reason::Le);
    assert_eq!(refused(&h("a_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 1\n")), (3, Reason::BucketOrder));
    assert_eq!(refused(&h(&format!("a_bucket{{le=\"2\"}} 3\n{inf}"))), (3, Reason::BucketShrinks));
    assert_eq!(refused(&h(&format!("{inf}a_count 1\na_sum 1\n"))).1, Reason::CountMismatch);
    assert_eq!(refused(&h(&format!("{inf}a_sum 1\n"))).1, Reason::SumWithoutCount);
    assert_eq!(refused(&h(&format!("{inf}a_count 2\n"))).1, Reason::CountWithoutSum);
    assert_eq!(refused(&h(&format!("a_bucket{{le=\"-1\"}} 0\n{inf}a_count 2\na_sum 1\n"))).1, Reason::SumOfNegative);
    let gauge = format!("# TYPE a gaugehistogram\n{inf}a_gcount 2\na_gsum -1\n");
    assert_eq!(refused(&gauge).1, Reason::NegativeSum);
    assert_eq!(read(&h(&format!("{inf}a_count 2\na_sum 1\n")))[0].samples.len(), 3);
    // Counts beyond what a double holds are compared as they are written.
    let big = h("a_bucket{le=\"+Inf\"} 9007199254740993\na_count 9007199254740992\na_sum 1\n");
    assert_eq!(refused(&big).1, Reason::CountMismatch);
}

#[test]
fn an_error_names_its_line_and_rule() {
    assert_eq!(parse(b"a 1\nb x\n").unwrap_err().to_string(), "line 2: not a number");
    assert_eq!(parse(b"\xff 1\n").unwrap_err().to_string(), "line 1: not UTF-8");
}

proptest! {
    #[test]
    fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn almost_pages_are_survived_and_what_is_read_strictly_is_read_leniently(
        text in "((# (TYPE|HELP|UNIT) a(_s|\"é)? (histogram|counter|info|stateset|summary|x)|a(_bucket|_total|_sum|_count)?([{](le|a|\"é\")=\"[+0-9Inf]{0,4}\"[}])? [0-9eNna.-]{1,3}( [0-9.]{1,4})?( # [{](a=\"b\")?[}] 1)?)\n){0,6}# EOF\n?",
    ) {
        if let Ok(families) = parse(text.as_bytes()) {
            let page = crate::prometheus::parse(text.as_bytes(), "application/openmetrics-text");
            prop_assert_eq!(&page.errors, &vec![]);
            prop_assert!(families.iter().map(|f| f.samples.len()).sum::<usize>() <= page.samples.len());
        }
    }
}
