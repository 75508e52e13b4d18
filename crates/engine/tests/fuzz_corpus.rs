//! Replays the corpus of the fuzz target `program` (fuzz/README.md): every input that fuzzing found worth keeping.

#[path = "../../../fuzz/checks/bounds.rs"]
mod bounds;
#[path = "../../../fuzz/checks/program.rs"]
mod program;

#[test]
fn every_program_of_the_corpus_gets_its_answer() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/program");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let input = std::fs::read(entry.unwrap().path()).unwrap();
        bounds::bounded(&input, || program::check(&input));
        count += 1;
    }
    assert!(count > 20, "{count} inputs in {folder}");
}
