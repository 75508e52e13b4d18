//! Replays the corpora of the fuzz targets of this crate (fuzz/README.md): every input that fuzzing found worth keeping.

#[path = "../../../fuzz/checks/bounds.rs"]
mod bounds;
#[path = "../../../fuzz/checks/bpe.rs"]
mod bpe;
#[path = "../../../fuzz/checks/input.rs"]
mod input;
#[path = "../../../fuzz/checks/pattern.rs"]
mod pattern;
#[path = "../../../fuzz/checks/safetensors.rs"]
mod safetensors;
#[path = "../../../fuzz/checks/train.rs"]
mod train;

/// One test: what is allocated is counted for the whole process.
#[test]
fn every_input_of_the_corpora_gets_its_answer() {
    let targets: [(&str, fn(&[u8])); 4] = [
        ("pattern", pattern::check),
        ("bpe", bpe::check),
        ("train", train::check),
        ("safetensors", safetensors::check),
    ];
    for (name, check) in targets {
        let folder = format!("{}/../../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let input = std::fs::read(entry.unwrap().path()).unwrap();
            bounds::bounded(&input, || check(&input));
            count += 1;
        }
        assert!(count > 2, "{count} inputs in {folder}");
    }
}
