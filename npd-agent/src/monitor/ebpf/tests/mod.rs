pub(super) mod running_probe;

use std::collections::BTreeSet;

use npd_ebpf::MAX_RECORD_KINDS;

use super::PROBES;
use super::program::KernelProgram;
use crate::kernel_text::WORDINGS;

#[test]
fn every_kind_of_record_and_every_program_is_one_probes() {
    let programs: Vec<_> = PROBES.iter().flat_map(|probe| probe.programs).collect();
    let mut names = BTreeSet::new();
    for program in &programs {
        assert!(program.record < MAX_RECORD_KINDS, "{}", program.name);
        assert!(names.insert(program.name), "{}", program.name);
        let same = programs
            .iter()
            .filter(|other| other.record == program.record);
        for other in same {
            let stands_in = |one: &KernelProgram, other: &KernelProgram| {
                one.name == other.name || one.instead_of == Some(other.name)
            };
            assert!(
                stands_in(program, other) || stands_in(other, program),
                "{} and {} send the same kind of record",
                program.name,
                other.name
            );
        }
    }
}

#[test]
fn the_kernels_words_and_the_probes_go_by_the_same_names() {
    let of_probes = PROBES.iter().filter_map(|probe| {
        let wording = probe.text?;
        assert_eq!(wording.probe, probe.name);
        Some(wording.probe)
    });
    let known = WORDINGS.iter().map(|wording| wording.probe);
    assert_eq!(of_probes.collect::<Vec<_>>(), known.collect::<Vec<_>>());
}
