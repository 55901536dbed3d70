//! `topology`.

use std::fs;
use std::process::Command;

use serde_json::{Value as Json, json};

use crate::support::{Place, on_brokers, program, run};

on_brokers!(plan_apply_verify, conflicts, in_yaml);

/// A file with this topology for a broker `main`.
fn file(place: &Place, topology: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("swarrot.toml");
    let text = format!("[brokers]\nmain = \"{}\"\n{topology}", place.url);
    fs::write(&path, text).expect("writes");
    let path = path.to_str().expect("text").to_owned();
    (folder, path)
}

fn states(parts: &Json) -> Vec<String> {
    let parts = parts["parts"].as_array().expect("parts");
    parts.iter().map(|part| part["state"].as_str().expect("a state").to_owned()).collect()
}

fn plan_apply_verify(place: &Place) {
    let (queue, exchange) = (place.name("new"), place.name("x"));
    let topology = format!(
        "[topology.main.exchanges]\n\"{exchange}\" = \"topic\"\n[topology.main.queues.\"{queue}\"]\n\
         [[topology.main.bindings]]\nexchange = \"{exchange}\"\nqueue = \"{queue}\"\nrouting_key = \"a.*\"\n"
    );
    let (_folder, file) = file(place, &topology);
    // AMQP has no way to look at bindings.
    let (missing, there) = if place.is_redis() { ("missing", "there") } else { ("unknown", "unknown") };

    place.run(&["topology", "verify", &file]).expect_code(1);
    let plan = place.run(&["topology", "plan", &file, "--json"]).expect_code(0).json();
    assert_eq!(states(&plan), ["missing", "missing", "missing", missing]);
    place.run(&["count", &queue]).expect_code(1);

    place.run(&["topology", "apply", &file]).expect_code(0);
    let verified = place.run(&["topology", "verify", &file, "--json"]).expect_code(0).json();
    assert_eq!(states(&verified), ["there", "there", "there", there]);
    place.run(&["publish", "--exchange", &exchange, "--key", "a.b", "hi"]).expect_code(0);
    place.ready(&queue, 1);
    // Once more changes nothing, with the broker of the file as well.
    let mut command = program();
    command.args(["topology", "apply", &file]);
    assert!(command.output().expect("it runs").status.success());
    place.ready(&queue, 1);
    let text = place.run(&["topology", "plan", &file]).expect_code(0).out;
    assert!(text.contains("nothing to create") && text.contains(&queue), "{text}");
    assert_eq!(text.contains("1 part cannot be seen"), !place.is_redis(), "{text}");
    assert_eq!(verified["unknown"], u64::from(!place.is_redis()));
}

fn conflicts(place: &Place) {
    let (new, kept) = (place.name("new"), &place.queue);
    let topology = format!(
        "[topology.main.queues.\"{new}\"]\n[topology.main.queues.\"{kept}\"]\nmax_length = 5\ndead_letter = \"drop\"\n"
    );
    let (_folder, file) = file(place, &topology);
    let plan = place.run(&["topology", "plan", &file, "--json"]).expect_code(1).json();
    assert_eq!(plan["different"], 1);
    let details = plan["parts"].as_array().expect("parts").iter().find(|part| part["state"] == "different");
    let details = details.expect("one differs")["details"].to_string().replace('-', "_");
    assert!(details.contains("max_length") && details.contains("dead_letter"), "both are told: {details}");
    place.run(&["topology", "apply", &file]).expect_line(1, &[kept, "other arguments"]);
    place.run(&["count", &new]).expect_code(1);
}

fn in_yaml(place: &Place) {
    let (queue, exchange) = (place.name("new"), place.name("x"));
    let topology = format!(
        "[topology.main.exchanges]\n\"{exchange}\" = \"topic\"\n[topology.main.queues.\"{queue}\"]\nmax_length = 9\n\
         [[topology.main.bindings]]\nexchange = \"{exchange}\"\nqueue = \"{queue}\"\nrouting_key = \"a.*\"\n"
    );
    let (folder, toml) = file(place, &topology);
    let exported = run(&["topology", "export", &toml, "--format", "yaml"]).expect_code(0).out;
    let yaml = folder.path().join("swarrot.yml");
    fs::write(&yaml, format!("brokers:\n  main: {}\n{exported}", place.url)).expect("writes");
    let yaml = yaml.to_str().expect("text");
    place.run(&["topology", "apply", yaml]).expect_code(0);
    // What the one made is what the other asks for.
    let verified = place.run(&["topology", "verify", &toml, "--json"]).expect_code(0).json();
    assert_eq!((&verified["missing"], &verified["different"]), (&json!(0), &json!(0)));
    let again = run(&["topology", "export", yaml, "--format", "yaml"]).expect_code(0).out;
    assert_eq!(again, exported);
    let as_toml = run(&["topology", "export", yaml, "--format", "toml"]).expect_code(0).out;
    assert!(as_toml.contains("max_length = 9"), "{as_toml}");
    fs::write(yaml, "brokers:\n  main: memory://\nworkers:\n  m:\n    queue: [\n").expect("writes");
    run(&["topology", "plan", yaml]).expect_line(2, &["swarrot.yml:", "not YAML"]);
}

#[test]
fn export() {
    let place = Place::amqp("export");
    let topology = "[topology.main.exchanges]\nevents = \"fanout\"\n[topology.main.queues.mails]\n\
                    [[topology.main.bindings]]\nexchange = \"events\"\nqueue = \"mails\"\n";
    let (_folder, file) = file(&place, topology);
    let definitions = run(&["topology", "export", &file]).expect_code(0).json();
    assert_eq!(definitions["exchanges"][0]["type"], "fanout");
    assert_eq!(definitions["queues"][0]["name"], "mails");
    assert_eq!(definitions["queues"][0]["arguments"]["x-dead-letter-routing-key"], "mails.dead");
    assert_eq!(definitions["queues"][1]["name"], "mails.dead");
    assert_eq!(definitions["bindings"][0]["destination"], "mails");
    assert_eq!(definitions["bindings"].as_array().map(Vec::len), Some(1));
}

#[test]
fn mistakes_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("swarrot.toml");
    let file = path.to_str().expect("text");
    run(&["topology", "plan", file]).expect_line(2, &["swarrot.toml"]);
    fs::write(&path, "[brokers]\na = \"memory://\"\nb = \"memory://\"\n").expect("writes");
    run(&["topology", "plan", file]).expect_line(2, &["--broker", "a, b"]);
    run(&["topology", "plan", file, "--broker", "c"]).expect_line(2, &["\"c\""]);
    let plan = run(&["topology", "plan", file, "--broker", "a", "--json"]).expect_code(0).json();
    assert_eq!(plan["parts"], json!([]));
    // In the folder where the file is, its name need not be told.
    let mut command: Command = program();
    command.args(["topology", "plan", "--broker", "b"]).current_dir(folder.path());
    assert!(command.output().expect("it runs").status.success());
}
