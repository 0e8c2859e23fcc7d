use crate::kernel_text;
use crate::logs::kmsg::KmsgRecord;

/// What a read of `/dev/kmsg` returned.
///
/// # Panics
/// If the record is not what its documentation says.
pub fn kmsg_record(bytes: &[u8]) {
    if let Some(record) = KmsgRecord::parse(bytes) {
        assert_eq!(
            record.text.trim(),
            record.text,
            "there are blanks around it"
        );
        assert_eq!(
            record.is_from_kernel(),
            record.priority < 8,
            "by its facility"
        );
        drop(kernel_text::subject(&record.text));
    }
}
