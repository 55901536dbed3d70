//! No input makes the parser panic, however strange.

use proptest::prelude::*;
use swarrot::config::{Loader, Problem, reference};

/// Reads it, and looks at what is said about it.
fn read(text: &str) -> Result<(), TestCaseError> {
    let loader = Loader::new().variables(|name| (name.len() < 3).then(|| format!("{name}\n\"secret-value\"")));
    let Err(error) = loader.parse(text) else { return Ok(()) };
    prop_assert!(!error.problems().is_empty());
    for Problem { line, column, message, .. } in error.problems() {
        prop_assert!(*line <= text.matches('\n').count() + 1, "line {line} of {text:?}");
        prop_assert!(*column > 0 || *line == 0);
        prop_assert!(!message.contains('\n') && message.len() < 1000, "{message:?}");
        prop_assert!(!message.contains("secret-value"), "{message:?}");
    }
    Ok(())
}

/// All names that mean something, and some that do not.
fn names() -> Vec<String> {
    let sections = reference();
    let known = sections.iter().flat_map(|section| section.keys.keys.iter().map(|key| key.name.to_owned()));
    let kinds = sections.iter().filter_map(|section| Some(section.path.split_once(' ')?.1.to_owned()));
    let more = ["layer", "gate", "main", "mails", "x", "\"é\"", "\"a b\"", "\"\"", "'amqp://u:secret-value@h/'"]
        .map(str::to_owned);
    known.chain(kinds).chain(more).collect()
}

fn value() -> impl Strategy<Value = String> {
    let words = names();
    let plain = prop_oneof![
        prop::sample::select(
            [
                "\"memory://\"",
                "\"amqp://u:secret-value@h:1/v\"",
                "\"30s\"",
                "\"1h 30m\"",
                "\"512 MiB\"",
                "\"${A}\"",
                "\"${LONG}\"",
                "\"${LONG:-3}\"",
                "\"$\"",
                "\"main\"",
                "\"mails\"",
                "\"verify\"",
                "\"retry\"",
                "\"timeout\"",
                "true",
                "false",
                "0",
                "1",
                "3",
                "-1",
                "300",
                "1e400",
                "nan",
                "inf",
                "0xff",
                "99999999999999999999999999999999999999999",
                "1979-05-27",
                "[]",
                "{}",
                "\"99999999999999 EiB\"",
                "\"99999999999999999y\"",
            ]
            .map(str::to_owned)
            .to_vec()
        ),
        prop::sample::select(words).prop_map(|word| if word.starts_with(['"', '\'']) {
            word
        } else {
            format!("\"{word}\"")
        }),
        "\\PC{0,12}".prop_map(|text| format!("{text:?}")),
    ];
    plain.prop_recursive(3, 24, 5, |inner| {
        let names = prop::sample::select(names());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((names, inner), 0..4).prop_map(|entries| {
                let entries: Vec<_> = entries.iter().map(|(name, value)| format!("{name} = {value}")).collect();
                format!("{{ {} }}", entries.join(", "))
            }),
        ]
    })
}

/// A line that is a header or a key with its value.
fn line() -> impl Strategy<Value = String> {
    let path = prop::collection::vec(prop::sample::select(names()), 1..4).prop_map(|names| names.join("."));
    prop_oneof![
        1 => path.clone().prop_map(|path| format!("[{path}]")),
        1 => path.clone().prop_map(|path| format!("[[{path}]]")),
        4 => (path, value()).prop_map(|(path, value)| format!("{path} = {value}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn any_text_of_its_signs(text in "[\\[\\]{}=.,\"'#\n a-c0-9$:/@é-]{0,120}") {
        read(&text)?;
    }

    #[test]
    fn any_toml_of_its_words(lines in prop::collection::vec(line(), 0..12)) {
        read(&lines.join("\n"))?;
    }

    #[test]
    fn any_value_of_a_known_key(section in any::<prop::sample::Index>(), key in any::<prop::sample::Index>(), value in value()) {
        let sections: Vec<_> = reference().into_iter().filter(|section| !section.keys.keys.is_empty()).collect();
        let section = section.get(&sections);
        let key = key.get(&section.keys.keys).name;
        let named = |path: &str| path.split('.').next().unwrap_or_default().to_owned();
        let text = match section.path.split_once(' ') {
            Some(("gate", gate)) => format!("[gates.x]\ngate = \"{}\"\n{key} = {value}", named(gate)),
            Some((_, layer)) => format!("[[workers.w.layers]]\nlayer = \"{}\"\n{key} = {value}", named(layer)),
            None if section.path.is_empty() => format!("{key} = {value}"),
            None => format!("[{}]\n{key} = {value}", section.path.replace("NAME", "main").replace("[]", "")),
        };
        read(&format!("{text}\n"))?;
    }

    #[test]
    fn an_example_with_a_part_cut_out(from in any::<prop::sample::Index>(), length in 0_usize..40) {
        let text: Vec<char> = include_str!("../../examples/swarrot.toml").chars().collect();
        let from = from.index(text.len());
        let rest = text.iter().skip(from + length);
        read(&text[..from].iter().chain(rest).collect::<String>())?;
    }
}

#[test]
fn depth_and_length_have_limits() {
    for text in [
        "a = ".to_owned() + &"[".repeat(100_000),
        "a".to_owned() + &".a".repeat(100_000) + " = 1",
        "a = ".to_owned() + &"{ a = ".repeat(100_000),
        "brokers.main = \"memory://\"\ntopology.main.queues.q.arguments.x = ".to_owned()
            + &"[".repeat(70)
            + &"]".repeat(70),
        "brokers.main = \"".to_owned() + &"${A:-b}".repeat(100_000) + "\"",
        "a = 1\n".repeat(10_000),
        format!("{} = 1", "x".repeat(1_000_000)),
        "[workers.mails]\n".to_owned() + &(0..2_000).map(|n| format!("k{n} = 1")).collect::<Vec<_>>().join("\n"),
    ] {
        read(&text).expect("no panic");
    }
}
