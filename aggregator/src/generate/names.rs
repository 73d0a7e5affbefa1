//! Names of a registry as names of a program.
//!
//! A registry's names may be any text. Each becomes the words in it, in the case that the language wants. Where two names of a
//! scope would become one, or one would become a word of the language, all that are concerned get the first bytes of their
//! SHA-256 at the end. So a name that is added never takes the place of another one: what collides is renamed and does not
//! compile.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

/// How the words of a name are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// `FirstWords`.
    Pascal,
    /// `first_words`.
    Snake,
}

/// The words that no name in Rust may be. In Pascal case there is only `Self`, which stands here too.
const RESERVED: [&str; 55] = [
    "Self", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do",
    "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "union", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield", "_", "",
];

/// An identifier for each name, each another one. `taken` are those that the scope has already.
pub(super) fn identifiers<'n>(
    names: impl IntoIterator<Item = &'n str>,
    case: Case,
    taken: &[&str],
) -> BTreeMap<&'n str, String> {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    names.iter().for_each(|name| *count.entry(readable(name, case)).or_default() += 1);
    let bad = |word: &str| count[word] > 1 || RESERVED.contains(&word) || taken.contains(&word);
    let with = |digits: usize| {
        let name = |name: &&'n str| {
            let word = readable(name, case);
            let word = if bad(&word) { format!("{word}_{}", digest(name, digits)) } else { word };
            (*name, word)
        };
        names.iter().map(name).collect::<BTreeMap<&str, String>>()
    };
    // A readable name may look like one with a digest; none looks like the whole digest of another.
    let distinct =
        |words: &BTreeMap<&str, String>| words.values().collect::<BTreeSet<_>>().len() == names.len();
    Some(with(8)).filter(distinct).unwrap_or_else(|| with(64))
}

fn digest(name: &str, digits: usize) -> String {
    let hex: String = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    hex[..digits].to_owned()
}

/// The words of a name in a case. It begins with a letter.
fn readable(name: &str, case: Case) -> String {
    let joined: Vec<String> = words(name)
        .into_iter()
        .map(|word| match case {
            Case::Pascal => word[..1].to_ascii_uppercase() + &word[1..].to_ascii_lowercase(),
            Case::Snake => word.to_ascii_lowercase(),
        })
        .collect();
    let joined = joined.join(if case == Case::Snake { "_" } else { "" });
    let letter = joined.starts_with(|c: char| c.is_ascii_alphabetic());
    match (case, letter) {
        (_, true) => joined,
        (Case::Pascal, false) => format!("N{joined}"),
        (Case::Snake, false) => format!("n{joined}"),
    }
}

/// Runs of ASCII letters and digits, cut where a capital follows what is none.
fn words(name: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut from = 0;
    let mut before = None::<char>;
    let end = |words: &mut Vec<_>, from: usize, to: usize| {
        let word: &str = &name[from..to];
        words.extend(Some(word).filter(|word| !word.is_empty()));
    };
    for (at, c) in name.char_indices() {
        if !c.is_ascii_alphanumeric() {
            end(&mut words, from, at);
            from = at + c.len_utf8();
        } else if c.is_ascii_uppercase() && before.is_some_and(|before| !before.is_ascii_uppercase()) {
            end(&mut words, from, at);
            from = at;
        }
        before = Some(c);
    }
    end(&mut words, from, name.len());
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn names_are_told_by_their_words() {
        for (name, pascal, snake) in [
            ("account_created", "AccountCreated", "account_created"),
            ("Sign Up!", "SignUp", "sign_up"),
            ("firstName", "FirstName", "first_name"),
            ("iOS", "IOs", "i_os"),
            ("HTTP error", "HttpError", "http_error"),
            ("3d", "N3d", "n3d"),
            ("-1", "N1", "n1"),
            ("★", "N", "n"),
            ("__a--b__", "AB", "a_b"),
        ] {
            let one = |case| identifiers([name], case, &[])[name].clone();
            assert_eq!((one(Case::Pascal), one(Case::Snake)), (pascal.to_owned(), snake.to_owned()));
        }
    }

    /// The digests are those of `printf '%s' NAME | sha256sum`.
    #[test]
    fn what_would_be_one_name_or_a_word_of_the_language_is_told_apart() {
        let names = identifiers(["sign-up", "sign_up", "other"], Case::Pascal, &[]);
        assert_eq!(names["other"], "Other");
        assert_eq!((&*names["sign-up"], &*names["sign_up"]), ("SignUp_d82cace2", "SignUp_7104daea"));
        assert_eq!(identifiers(["type"], Case::Snake, &[])["type"], "type_1303c06b");
        assert_eq!(identifiers(["taken"], Case::Pascal, &["Taken"])["taken"], "Taken_99341d56");
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn names_never_collide(names in prop::collection::btree_set("[a-cA-C_1 .é-]{0,4}", 0..40), snake in any::<bool>()) {
            let case = if snake { Case::Snake } else { Case::Pascal };
            let found = identifiers(names.iter().map(String::as_str), case, &["Property"]);
            let distinct: BTreeSet<&String> = found.values().collect();
            prop_assert_eq!(distinct.len(), names.len());
            for word in distinct {
                prop_assert!(word.starts_with(|c: char| c.is_ascii_alphabetic()), "{}", word);
                prop_assert!(word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{}", word);
                prop_assert!(!RESERVED.contains(&word.as_str()) && word != "Property");
            }
        }
    }
}
