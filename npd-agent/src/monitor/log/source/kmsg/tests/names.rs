//! No name that a user chooses makes a rule match.
//!
//! Many messages of the kernel begin with the name of a task, and some quote the name of a file or a mount
//! option. Users choose these. Such a message must not look like one of another subsystem.

use std::collections::BTreeSet;

use regex_automata::nfa::thompson::{NFA, State, Transition};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;

use super::rules::catalogue;
use crate::go::regex::compile_record;

/// A part of a message.
#[derive(Clone, Copy, Debug)]
enum MessagePart {
    /// The name of a task: at most so many bytes (`TASK_COMM_LEN`).
    Task,
    /// Another text that a user chooses.
    Quoted,
    /// A number, which may be hexadecimal.
    Number,
    /// Text of the kernel.
    Fixed(&'static str),
}
use MessagePart::{Fixed, Number, Quoted, Task};

const TASK: usize = 15;

const ANY: &[(u8, u8)] = &[(1, u8::MAX)];
const HEXADECIMAL: &[(u8, u8)] = &[(b'0', b'9'), (b'a', b'f')];

/// Messages with text that users choose, and the file of Linux 6.12 that prints them.
const MESSAGES: &[(&str, &[MessagePart])] = &[
    (
        "arch/x86/mm/fault.c",
        &[
            Task,
            Fixed("["),
            Number,
            Fixed("]: segfault at "),
            Number,
            Fixed(" ip "),
            Number,
            Fixed(" sp "),
            Number,
            Fixed(" error "),
            Number,
            Fixed(" in "),
            Quoted,
            Fixed("["),
            Number,
            Fixed("+"),
            Number,
            Fixed("] likely on CPU 1 (core 1, socket 0)"),
        ],
    ),
    (
        "arch/arm64/kernel/traps.c",
        &[
            Task,
            Fixed("["),
            Number,
            Fixed("]: unhandled exception: DABT (lower EL), ESR 0x92000004, in "),
            Quoted,
        ],
    ),
    (
        "arch/x86/kernel/signal.c",
        &[
            Task,
            Fixed("["),
            Number,
            Fixed("] bad frame in rt_sigreturn frame:"),
            Number,
            Fixed(" in "),
            Quoted,
        ],
    ),
    (
        "mm/page_alloc.c",
        &[
            Task,
            Fixed(": page allocation failure: order:0, mode:0xcc0(GFP_KERNEL), cpuset="),
            Quoted,
        ],
    ),
    (
        "mm/oom_kill.c",
        &[
            Task,
            Fixed(" invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"),
        ],
    ),
    (
        "block/blk-core.c",
        &[
            Task,
            Fixed(": attempt to access beyond end of device sda: rw=0, sector=8, limit=8"),
        ],
    ),
    (
        "fs/hugetlbfs/inode.c",
        &[
            Task,
            Fixed(" ("),
            Number,
            Fixed("): Using mlock ulimits for SHM_HUGETLB is obsolete"),
        ],
    ),
    (
        "fs/fs_parser.c",
        &[Fixed("tmpfs: Unknown parameter '"), Quoted, Fixed("'")],
    ),
    (
        "fs/fs_parser.c",
        &[Fixed("xfs: Unknown parameter '"), Quoted, Fixed("'")],
    ),
    (
        "fs/overlayfs/params.c",
        &[
            Fixed("overlayfs: failed to resolve '"),
            Quoted,
            Fixed("': -2"),
        ],
    ),
];

/// These are about whatever task the message names. They set no condition.
const ABOUT_NAMES: &[&str] = &["AllocationFailure", "SystemProcessCrashed"];

#[test]
fn no_name_that_a_user_chooses_makes_a_rule_match() {
    let mut matched = Vec::new();
    for rule in catalogue().iter().flat_map(|set| &set.rules) {
        let problem = &rule.problem;
        if ABOUT_NAMES.contains(&&*problem.reason) {
            assert_eq!(problem.condition, None, "{}", problem.reason);
            continue;
        }
        let patterns = [&rule.groups.pattern, &rule.groups.clear_pattern];
        for pattern in patterns.into_iter().flatten() {
            let nfa = NFA::new(pattern.as_str()).unwrap();
            for (file, message) in MESSAGES {
                if PossibleStates::matches(&nfa, message) {
                    matched.push(format!("{} {file}: {}", problem.reason, pattern.as_str()));
                }
            }
        }
    }
    assert!(matched.is_empty(), "{}", matched.join("\n"));
}

#[test]
fn a_pattern_that_a_name_can_match_is_found() {
    let check = |pattern: &str, expected: bool| {
        let pattern = compile_record(pattern).unwrap();
        let nfa = NFA::new(pattern.as_str()).unwrap();
        let mut messages = MESSAGES.iter();
        let matches = messages.any(|(_, message)| PossibleStates::matches(&nfa, message));
        assert_eq!(matches, expected, "{pattern}");
    };
    // A whole name, a name and a file, a name and the kernel's own words.
    check(r"EDAC MC\d+: \d+ UE ", true);
    check(r"XFS \(\w+\): .*[Ss]hutting down", true);
    check(r"disk: .*beyond end", true);
    check(r"disk has failed: \d+", false);
    check(r"Unknown parameter", false);
    check(r"tmpfs: Unknown", true);
}

/// Where the automaton of a pattern may be after some text.
struct PossibleStates<'n> {
    nfa: &'n NFA,
    states: BTreeSet<StateID>,
    has_matched: bool,
}

impl<'n> PossibleStates<'n> {
    /// Whether a pattern matches a message, for some choice of what users choose.
    fn matches(nfa: &'n NFA, message: &[MessagePart]) -> bool {
        let mut possible = Self {
            nfa,
            states: BTreeSet::new(),
            has_matched: false,
        };
        possible.enter(nfa.start_anchored(), Look::Start);
        for part in message {
            match part {
                Task => possible.read_up_to(TASK, ANY),
                Quoted => possible.read_up_to(usize::MAX, ANY),
                Number => {
                    possible.read(HEXADECIMAL);
                    possible.read_up_to(15, HEXADECIMAL);
                }
                Fixed(text) => text.bytes().for_each(|byte| possible.read(&[(byte, byte)])),
            }
        }
        for state in std::mem::take(&mut possible.states) {
            possible.enter(state, Look::End);
        }
        possible.has_matched
    }

    /// Adds a state, and those that follow without text. Boundaries of words may be anywhere.
    fn enter(&mut self, state: StateID, place: Look) {
        if !self.states.insert(state) {
            return;
        }
        match self.nfa.state(state) {
            State::Union { alternates } => {
                alternates.iter().for_each(|next| self.enter(*next, place));
            }
            State::BinaryUnion { alt1, alt2 } => {
                self.enter(*alt1, place);
                self.enter(*alt2, place);
            }
            State::Capture { next, .. } => self.enter(*next, place),
            State::Look { look, next } => {
                if ![Look::Start, Look::End].contains(look) || *look == place {
                    self.enter(*next, place);
                }
            }
            State::Match { .. } => self.has_matched = true,
            State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Fail => {}
        }
    }

    /// Reads one byte of these ranges.
    fn read(&mut self, ranges: &[(u8, u8)]) {
        let is_possible = |transition: &Transition| {
            let mut ranges = ranges.iter();
            ranges.any(|(first, last)| transition.start <= *last && *first <= transition.end)
        };
        for state in std::mem::take(&mut self.states) {
            let transitions = match self.nfa.state(state) {
                State::ByteRange { trans } => std::slice::from_ref(trans),
                State::Sparse(sparse) => &sparse.transitions,
                _ => &[],
            };
            for transition in transitions
                .iter()
                .filter(|transition| is_possible(transition))
            {
                self.enter(transition.next, Look::WordAscii);
            }
        }
    }

    /// Reads at most so many bytes of these ranges.
    fn read_up_to(&mut self, most: usize, ranges: &[(u8, u8)]) {
        for _ in 0..most {
            let before = self.states.clone();
            self.read(ranges);
            self.states.extend(&before);
            if self.states == before {
                break;
            }
        }
    }
}
