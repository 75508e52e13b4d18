//! Replays the corpus of the fuzz target `program` (fuzz/README.md): every input that fuzzing found worth keeping, and its seeds, which are
//! good programs of today's instructions.

mod common;

#[path = "../../../fuzz/checks/bounds.rs"]
mod bounds;
#[path = "../../../fuzz/checks/program.rs"]
mod program;

use common::programs::{everything, frozen};

/// One test: `bounds` counts what all threads allocate.
#[test]
fn every_program_of_the_corpus_gets_its_answer_and_its_seeds_load() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/program");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let input = std::fs::read(entry.unwrap().path()).unwrap();
        bounds::bounded(&input, || {
            program::check(&input);
        });
        count += 1;
    }
    assert!(count > 20, "{count} inputs in {folder}");

    for (name, seed) in [("everything", everything()), ("frozen", frozen())] {
        let path = format!("{}/../../fuzz/seeds/program/{name}", env!("CARGO_MANIFEST_DIR"));
        let good: Vec<u8> = seed.words().iter().flat_map(|word| word.to_le_bytes()).collect();
        if std::env::var_os("FERRO_FUZZ_KEEP").is_some() {
            std::fs::write(&path, &good).unwrap();
        }
        let kept = std::fs::read(&path).unwrap_or_default();
        assert!(kept == good, "{path} must be the program of the tests: with FERRO_FUZZ_KEEP=1 this test writes it");
        bounds::bounded(&good, || assert!(program::check(&good), "{name} loads"));
    }
}
