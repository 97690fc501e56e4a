use super::*;

fn postgres(sql: &str) -> Fingerprint {
    fingerprint(sql.as_bytes(), Dialect::Postgres, false)
}

fn mysql(sql: &str) -> Fingerprint {
    fingerprint(sql.as_bytes(), Dialect::Mysql, false)
}

#[test]
fn statements_that_differ_in_literals_are_one() {
    let alike = [
        ["select * from T where id=1", "SELECT  *\nFROM t /* x */ WHERE id = -27 -- y"],
        ["select a from t where b in (1,2,3)", "select a from t where b in (4)"],
        ["select a from t where b in ($1, $2)", "select a from t where b IN ('x')"],
        ["insert into t (a,b) values (1,'x'), (2,'y'), (3, 'z')", "INSERT INTO t (a, b) VALUES (9, $1)"],
        ["insert into t values (1, now()), (2, now())", "insert into t values (3, now())"],
        ["select e'a\\'b', $$c$$, true, 1.5e3 limit 10", "select 'q', 'r', null, 7 limit 20;"],
        ["select array[1,2,3]", "select array[4]"],
        ["select * from t where (a,b) in ((1,2),(3,4))", "select * from t where (a,b) in ((1,2))"],
        ["update t set a = null, b = now() - interval '1 day'", "update t set a = 'x', b = now() - interval '2 days'"],
        ["begin; select 1; commit", "BEGIN;select 2;COMMIT;"],
        ["select x::int from t where y ->> 'k' = 'v'", "select x::int from t where y->>'l' = 'w'"],
    ];
    for [a, b] in alike {
        assert_eq!(postgres(a), postgres(b));
        assert_eq!(postgres(a).made, Made::Grammar, "{a}");
    }
    assert_eq!(postgres("select * from T where id=1").text, "SELECT * FROM t WHERE id = ?");
    assert_eq!(postgres("insert into t (a) values (1),(2)").text, "INSERT INTO t (a) VALUES (?)");
    assert_eq!(
        mysql("select COUNT(*) from `T` where a = \"x\" and b in (1,2)").text,
        "SELECT count(*) FROM `T` WHERE a = ? AND b IN (?)"
    );
}

#[test]
fn statements_that_differ_in_more_are_not() {
    let texts = [
        "select a from t",
        "select b from t",
        "select a from t where a = 1",
        "select \"A\" from t",
        "select f(1)",
        "select f(1, 2)",
    ];
    for (i, a) in texts.iter().enumerate() {
        for b in &texts[..i] {
            assert_ne!(postgres(a).text, postgres(b).text);
        }
    }
}

#[test]
fn what_the_grammar_does_not_know_is_keyed_by_its_words() {
    let a = postgres("vacuum (verbose,  analyze) T ; frobnicate x = 5, y in (1, 2), z=-3");
    assert_eq!(a, postgres("VACUUM (VERBOSE, ANALYZE) t;frobnicate X=6,y IN (3),z = -4;"));
    assert_eq!(a.made, Made::Words);
    let copy = postgres("copy t (a, b) from stdin with (delimiter ',')");
    assert_eq!((copy.text.as_str(), copy.made), ("COPY t (a, b) FROM stdin WITH (delimiter ?)", Made::Words));
}

#[test]
fn a_statement_that_is_cut_off_says_so_and_shows_no_half_words() {
    let whole = b"select a, b from accounts where secret = 'abcdef' and c in (1, 2)";
    let mut seen = std::collections::BTreeSet::new();
    for end in 0..whole.len() {
        let f = fingerprint(&whole[..end], Dialect::Postgres, true);
        assert_eq!(f.made, Made::Cut);
        assert!(f.text.ends_with('…') && !f.text.contains("abc"), "{}", f.text);
        seen.insert(f.text);
    }
    assert!(seen.contains("SELECT a, b FROM accounts WHERE secret =…"), "{seen:?}");
}

#[test]
fn no_secret_of_a_statement_about_roles_is_in_its_fingerprint() {
    for sql in [
        "create user x password 'SECRET'",
        "alter role x with login password 'SECRET'",
        "create role x with password 'SECRET' valid until '2030-01-01'",
        "comment on table t is 'SECRET'",
        "set app.token = 'SECRET'",
        "create server s foreign data wrapper w options (host 'SECRET')",
    ] {
        assert!(!postgres(sql).text.contains("SECRET"), "{}", postgres(sql).text);
    }
    assert!(!mysql("create user x identified by \"SECRET\"").text.contains("SECRET"));
    assert!(!mysql("set password = 'SECRET'").text.contains("SECRET"));
}

#[test]
fn a_long_fingerprint_ends_with_its_hash() {
    let columns = |n: usize| (0..n).map(|i| format!("column_{i}")).collect::<Vec<_>>().join(", ");
    let (a, b) =
        (postgres(&format!("select {} from t", columns(200))), postgres(&format!("select {} from u", columns(200))));
    assert!(a.text.len() <= DETAIL && b.text.len() <= DETAIL && a != b, "{}", a.text);
    assert_eq!(a.text[..900], b.text[..900]);
}

#[test]
fn deep_and_long_statements_do_not_exhaust_the_stack() {
    let run = || {
        let deep: Vec<String> = vec![
            "select ".to_owned() + &"(".repeat(30_000) + "1",
            "select ".to_owned() + &"1+".repeat(30_000) + "1",
            "select ".to_owned() + &"a+".repeat(199) + "a",
            "select ".to_owned() + &"(".repeat(23) + "1" + &")".repeat(23),
            "select ".to_owned() + &"not ".repeat(10_000) + "a",
            "select ".to_owned() + &"case when a then ".repeat(5_000),
            "select ".to_owned() + &"a::int".repeat(99),
            "select 1 ".to_owned() + &"union select 1 ".repeat(99),
            "select ".to_owned() + &"- ".repeat(199) + "1",
            "select ".to_owned() + &"array[".repeat(200),
            "explain ".repeat(8_000),
            "select a".to_owned() + &" is null".repeat(190),
            "select a".to_owned() + &"[1]".repeat(190),
            "with a as (".repeat(150),
            "select cast(".repeat(150),
            "select ".to_owned() + &"f(".repeat(150),
            "create table t (a ".to_owned() + &"array<".repeat(150),
            "select * from ".to_owned() + &"(".repeat(22) + "t" + &" join u".repeat(100),
            "prepare x as ".repeat(3_000),
            "begin ".repeat(3_000),
            "if a then ".repeat(3_000),
        ];
        for sql in &deep {
            for dialect in [Dialect::Postgres, Dialect::Mysql] {
                assert!(fingerprint(sql.as_bytes(), dialect, false).text.len() <= DETAIL);
            }
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn traceparents_are_found_in_comments() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sql = format!("select 1 /*db_driver='x',traceparent='{parent}',tracestate='a%3Db'*/");
    assert_eq!(traceparent(sql.as_bytes()).as_deref(), Some(parent));
    assert_eq!(traceparent(format!("{{\"traceparent\": \"{parent}\"}}").as_bytes()).as_deref(), Some(parent));
    assert_eq!(traceparent(b"select traceparent, 'x' from traceparent"), None);
    assert_eq!(traceparent(format!("traceparent='{}", &parent[..54]).as_bytes()), None);
    assert_eq!(postgres(&sql).text, "SELECT ?");
}

#[test]
fn a_memory_gives_what_it_would_make() {
    let mut memory = Fingerprints::new(Dialect::Postgres);
    for n in 0..1000 {
        let sql = format!("select {} from t{}", n, n % 7);
        assert_eq!(memory.of(sql.as_bytes(), false), postgres(&sql));
        assert_eq!(memory.of(sql.as_bytes(), false), postgres(&sql));
    }
    assert!(memory.known.len() <= REMEMBERED);
}
