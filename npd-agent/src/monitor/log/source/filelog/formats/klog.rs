//! What Kubernetes' programs write.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::RecognisedLine;
use crate::go::layout::TimeLayout;

/// The letters of the severities.
const SEVERITIES: [char; 4] = ['I', 'W', 'E', 'F'];

static LAYOUT: LazyLock<TimeLayout> = LazyLock::new(|| TimeLayout::new("0102 15:04:05.000000"));

/// `E1124 12:00:00.123456    1234 kubelet.go:2460] message`.
pub(super) fn klog(line: &str) -> Option<RecognisedLine<'_>> {
    let line = line.strip_prefix(SEVERITIES)?;
    let (time, rest) = line.split_at_checked("1124 12:00:00.123456".len())?;
    let time = LAYOUT.parse(time).ok()?;
    let (header, message) = rest
        .split_once("] ")
        .or(rest.strip_suffix(']').map(|header| (header, "")))?;
    let (process, place) = header.trim_start().split_once(' ')?;
    let is_number = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && place.contains(':')).then_some(RecognisedLine {
        time,
        program: None,
        message: Cow::Borrowed(message),
        part: None,
    })
}
