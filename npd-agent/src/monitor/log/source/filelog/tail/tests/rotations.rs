//! Any order of writing, rotating, reading and restarting.

use proptest::prelude::*;

use super::super::GRACE;
use super::TailBench;

#[derive(Clone, Copy, Debug)]
enum Act {
    Write(usize),
    Rename,
    /// Copies, or truncates if it has copied. Between the two, the writer writes nothing, because
    /// logrotate would lose it.
    CopyTruncate,
    FollowStep,
    Read,
    Restart,
    Wait,
}

fn act(rotations: Vec<Act>) -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1_usize..5).prop_map(Act::Write),
        2 => prop::sample::select(rotations),
        3 => Just(Act::FollowStep),
        1 => Just(Act::Read),
        1 => Just(Act::Restart),
        1 => Just(Act::Wait),
    ]
}

/// In any order of these steps, every line comes once, as long as there are at most two rotations
/// between two reads.
fn perform(acts: &[Act]) {
    let mut bench = TailBench::new();
    bench.read();
    let mut unseen = 0;
    let mut copied = false;
    for act in acts {
        match *act {
            Act::Write(_) if copied => {}
            Act::Write(count) => bench.write_lines(count),
            Act::CopyTruncate if copied => {
                bench.truncate();
                copied = false;
            }
            Act::Rename | Act::CopyTruncate if unseen == 2 => {}
            Act::Rename => {
                bench.rename();
                bench.reopen();
                unseen += 1;
            }
            Act::CopyTruncate => {
                bench.copy();
                copied = true;
                unseen += 1;
            }
            Act::FollowStep => {
                bench.step();
            }
            Act::Read => {
                bench.read();
                unseen = 0;
            }
            Act::Restart => bench.restart(),
            Act::Wait => bench.now += GRACE / 2,
        }
    }
    bench.check_all_lines_once();
}

#[test]
fn a_copy_is_read_once_whether_the_file_is_truncated_yet_or_not() {
    use Act::{CopyTruncate, FollowStep, Read, Restart, Write};
    // Not yet.
    perform(&[
        CopyTruncate,
        CopyTruncate,
        Read,
        Write(3),
        CopyTruncate,
        Read,
        CopyTruncate,
    ]);
    // Just before it is too late: an earlier copy is read first.
    for steps in 1..5 {
        let acts = [
            &[
                Write(3),
                Read,
                Write(2),
                CopyTruncate,
                CopyTruncate,
                Write(3),
                CopyTruncate,
            ][..],
            &vec![FollowStep; steps],
            &[CopyTruncate, Write(4), Read],
        ];
        perform(&acts.concat());
        let acts = [acts[0], &[Restart], &vec![FollowStep; steps], acts[2]];
        perform(&acts.concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn renames_lose_and_repeat_nothing(acts in prop::collection::vec(act(vec![Act::Rename]), 1..40)) {
        perform(&acts);
    }

    #[test]
    fn truncations_lose_and_repeat_nothing(acts in prop::collection::vec(act(vec![Act::CopyTruncate]), 1..40)) {
        perform(&acts);
    }
}
