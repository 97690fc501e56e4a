//! `argv-mask/1`: takes secrets out of command lines before they are stored.
//!
//! What is masked: the value of an option or of `NAME=VALUE` whose name says that it is a secret; the password in
//! `scheme://user:password@host`; the value of an `Authorization`, `Cookie` or `X-Api-Key` header; the password of
//! `-u user:password` (curl) and of `-pPASSWORD` (MySQL's and MariaDB's tools); the same names inside an argument, as in
//! `host=db password=x` and in JSON; and what has the form of a JSON web token or of an AWS key. Another secret that
//! nothing names cannot be known.

/// The name of this policy in the manifest.
pub const POLICY: &str = "argv-mask/1";

const MASK: &str = "***";

/// Words that make the name of an option or variable a secret's, compared in lower case without `-` and `_`.
const SECRET_WORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "auth",
    "cookie",
    "signature",
    "connectionstring",
    "dsn",
];

/// Names with such a word in them that are not secrets.
const HARMLESS: &[&str] = &["author", "authority", "authors", "passwordfile", "tokenfile", "secretname"];

/// Arguments as the kernel has them, each ended by a zero byte, masked and separated by spaces. Of arguments that were cut
/// the last is left out: it may be half of a secret that the mask would know by its other half.
pub(crate) fn mask_bytes(bytes: &[u8], cut: bool) -> String {
    let whole = if cut { bytes.iter().rposition(|&b| b == 0).unwrap_or(0) } else { bytes.len() };
    let text = String::from_utf8_lossy(&bytes[..whole]).into_owned();
    let argv: Vec<String> = text.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
    let mut masked = mask(&argv).join(" ");
    if cut {
        masked.push_str(" …");
    }
    masked
}

/// The arguments, secrets replaced by `***`. The first is the program.
pub fn mask(argv: &[String]) -> Vec<String> {
    let program = argv.first().map_or("", |p| p.rsplit('/').next().unwrap_or(p));
    let mysql = program.starts_with("mysql") || program.starts_with("mariadb");
    let mut out = Vec::with_capacity(argv.len());
    let mut next_is_secret = false;
    let mut next_is_login = false;
    for (i, arg) in argv.iter().enumerate() {
        let masked = if i == 0 {
            mask_text(arg)
        } else if std::mem::take(&mut next_is_secret) && !arg.starts_with("--") {
            MASK.to_owned()
        } else if std::mem::take(&mut next_is_login) {
            mask_login(arg)
        } else if mysql && arg.starts_with("-p") && arg.len() > 2 {
            format!("-p{MASK}")
        } else if let Some((name, value)) = arg.split_once('=').filter(|(n, v)| is_secret(n) && !v.is_empty()) {
            // A URL as value keeps its host: `--auth-url=http://…` is an address with perhaps a password in it.
            if value.contains("://") { format!("{name}={}", mask_urls(value)) } else { format!("{name}={MASK}") }
        } else if let Some((name, _)) = arg.split_once(':').filter(|(n, _)| is_secret_header(n)) {
            format!("{name}: {MASK}")
        } else {
            next_is_secret = arg.starts_with('-') && !arg.contains('=') && is_secret(arg);
            next_is_login = arg == "-u" || arg == "--user" || arg == "--proxy-user";
            if arg.starts_with("-u") && program == "curl" && arg.len() > 2 { mask_login(arg) } else { mask_text(arg) }
        };
        out.push(masked);
    }
    out
}

fn is_secret(name: &str) -> bool {
    // `http://h/?token=x` is an address, not a variable: its parts are looked at one by one.
    if !name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) {
        return false;
    }
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let pass = plain.ends_with("pass") && !plain.ends_with("bypass") && !plain.ends_with("compass");
    (pass || SECRET_WORDS.iter().any(|w| plain.contains(w))) && !HARMLESS.iter().any(|h| plain.ends_with(h))
}

fn is_secret_header(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    // A header's name is a word with dashes: `token:` in a sentence is not one.
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && (matches!(name.as_str(), "authorization" | "proxy-authorization" | "cookie")
            || name.starts_with("x-") && is_secret(&name))
}

/// `user:password` to `user:***`.
fn mask_login(text: &str) -> String {
    match text.split_once(':') {
        Some((user, password)) if !password.is_empty() && !password.starts_with("//") => format!("{user}:{MASK}"),
        _ => mask_text(text),
    }
}

/// Secrets within one argument: a shell's script, a connection string, JSON.
fn mask_text(text: &str) -> String {
    let known = mask_forms(&mask_pairs(&mask_urls(text)));
    if known.contains(char::is_whitespace) { mask_options(&known) } else { known }
}

/// Whether a character may stand in the name of an option, variable, header or key.
fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || "-_.".contains(c)
}

/// The values in `name=value`, `"name": "value"` and `Header: value` where the name is a secret's.
fn mask_pairs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, sign, after) = (&rest[..at], &rest[at..=at], &rest[at + 1..]);
        out.push_str(before);
        out.push_str(sign);
        rest = after;
        let named = before.trim_end_matches(['"', '\'', '\\']);
        let name = &named[named.trim_end_matches(is_of_name).len()..];
        let header = sign == ":" && is_secret_header(name);
        let pair = !name.is_empty() && is_secret(name) && (sign == "=" || named.len() < before.len());
        if !header && !pair {
            continue;
        }
        let value = after.trim_start_matches(|c| "\"'\\".contains(c) || sign == ":" && c == ' ');
        let lead = &after[..after.len() - value.len()];
        // An address as value keeps its host; a password in it is masked already.
        let end = if !header && value.contains("://") { 0 } else { value_end(value, lead.trim_start(), header) };
        if end > 0 {
            out.push_str(lead);
            out.push_str(MASK);
            rest = &value[end..];
        }
    }
    out.push_str(rest);
    out
}

/// Where a value ends that began with this quote (plain, escaped or none). A header's has words in it.
fn value_end(value: &str, quote: &str, header: bool) -> usize {
    let end = match quote {
        "" if header => value.find(['"', '\'', '\n']),
        "" => value.find(|c: char| c.is_whitespace() || "\"'&;,})".contains(c)),
        _ if quote.starts_with('\\') => value.find(quote),
        _ => {
            let closes = |&(at, _): &(usize, &str)| !value[..at].ends_with('\\');
            value.match_indices(quote).find(closes).map(|(at, _)| at)
        }
    };
    end.unwrap_or(value.len())
}

/// What follows `--password`, `-u` and (of MySQL's tools) `-p` in a text of several words, such as a shell's script.
fn mask_options(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mysql = text.contains("mysql") || text.contains("mariadb");
    let mut before = "";
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let option = before.starts_with('-') && !before.contains('=');
        let masked = if option && is_secret(before) && !word.is_empty() && !word.starts_with("--") {
            MASK.to_owned()
        } else if before == "-u" || before == "--user" {
            word.split_once(':').map_or_else(|| word.to_owned(), |(user, _)| format!("{user}:{MASK}"))
        } else if mysql && word.starts_with("-p") && word.len() > 2 {
            format!("-p{MASK}")
        } else {
            word.to_owned()
        };
        out.push_str(&masked);
        out.push_str(&piece[word.len()..]);
        if !word.is_empty() {
            before = word;
        }
    }
    out
}

/// Beginnings of tokens that are known by their form: a JSON web token, an AWS key, those of GitHub, GitLab, Slack, Stripe.
const FORMS: &[&str] = &["eyJ", "AKIA", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk_live_"];

/// Tokens of a known form.
fn mask_forms(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        let token = word >= 20 && FORMS.iter().any(|f| rest.starts_with(f));
        out.push_str(if token { MASK } else { &rest[..word] });
        let other = rest[word..].find(is_of_name).map_or(rest.len(), |n| word + n);
        out.push_str(&rest[word..other]);
        rest = &rest[other..];
    }
    out
}

/// Every `://user:password@` in a text to `://user:***@`, and query parameters with a secret's name.
fn mask_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(['/', '?', '#', ' ', '"', '\'']).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@').and_then(|(login, host)| Some((login.split_once(':')?.0, host))) {
            Some((user, host)) => out.push_str(&format!("{user}:{MASK}@{host}")),
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    mask_query(&out)
}

fn mask_query(text: &str) -> String {
    let Some((base, query)) = text.split_once('?').filter(|(base, _)| base.contains("://")) else {
        return text.to_owned();
    };
    let parts: Vec<String> = query
        .split('&')
        .map(|part| match part.split_once('=') {
            Some((name, value)) if is_secret(name) && !value.is_empty() => format!("{name}={MASK}"),
            _ => part.to_owned(),
        })
        .collect();
    format!("{base}?{}", parts.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(line: &str) -> String {
        mask(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).join(" ")
    }

    #[test]
    fn named_secrets_are_masked_and_the_rest_is_not() {
        for (line, expected) in [
            ("app --password hunter2 --port 80", "app --password *** --port 80"),
            ("app --db-password=hunter2", "app --db-password=***"),
            ("app --pass=hunter2 --bypass=all", "app --pass=*** --bypass=all"),
            ("env AWS_SECRET_ACCESS_KEY=abc PATH=/bin x", "env AWS_SECRET_ACCESS_KEY=*** PATH=/bin x"),
            ("psql postgres://me:pw@db:5432/x", "psql postgres://me:***@db:5432/x"),
            ("curl -u me:pw http://h/", "curl -u me:*** http://h/"),
            ("curl -ume:pw http://h/?token=x&a=1", "curl -ume:*** http://h/?token=***&a=1"),
            ("mysql -phunter2 -h db", "mysql -p*** -h db"),
            ("ssh -p22 host", "ssh -p22 host"),
            ("app --token --verbose", "app --token --verbose"),
            ("git log --author=me", "git log --author=me"),
            ("redis-server *:6379", "redis-server *:6379"),
        ] {
            assert_eq!(masked(line), expected);
        }
    }

    #[test]
    fn secrets_within_an_argument_are_masked_too() {
        for (arg, expected) in [
            ("cd /x && PGPASSWORD=hunter2 psql -h db", "cd /x && PGPASSWORD=*** psql -h db"),
            ("app --password hunter2 --port 80", "app --password *** --port 80"),
            ("host=db password=hunter2 dbname=x", "host=db password=*** dbname=x"),
            ("host=db password='hunter 2' dbname=x", "host=db password='***' dbname=x"),
            (r#"{"user": "me", "password": "hun\"ter2", "n": 1}"#, r#"{"user": "me", "password": "***", "n": 1}"#),
            (r#"{\"password\":\"hunter2\"}"#, r#"{\"password\":\"***\"}"#),
            (r#"curl -H "Authorization: Bearer abc" http://h/"#, r#"curl -H "Authorization: ***" http://h/"#),
            ("curl -u me:pw http://h:80/", "curl -u me:*** http://h:80/"),
            ("exec mysql -phunter2 -h db", "exec mysql -p*** -h db"),
            ("login --jwt eyJhbGciOiJIUzI1NiJ9.hunter2.sig now", "login --jwt *** now"),
            ("for i in a b; do echo time: $i; done", "for i in a b; do echo time: $i; done"),
            ("--label=key=välue:ü", "--label=key=välue:ü"),
        ] {
            assert_eq!(mask(&["sh".to_owned(), "-c".to_owned(), arg.to_owned()])[2], expected);
        }
    }

    #[test]
    fn headers_lose_their_value() {
        let argv = ["curl", "-H", "Authorization: Bearer abc", "-H", "Accept: text/html"].map(str::to_owned);
        assert_eq!(mask(&argv).join("|"), "curl|-H|Authorization: ***|-H|Accept: text/html");
    }
}
