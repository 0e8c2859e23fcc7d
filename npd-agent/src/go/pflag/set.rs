//! Functions that parse the value of a flag and store it.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{bail, ensure};

use crate::go::boolean::parse_bool;
use crate::go::csv::parse_record;
use crate::go::duration::GoDuration;
use crate::go::number::{parse_float32, parse_int, parse_level};

/// Sets a boolean.
pub fn boolean(place: &mut bool, value: &str) -> anyhow::Result<()> {
    *place = parse_bool(value)?;
    Ok(())
}

/// Sets an optional boolean.
pub fn switch(place: &mut Option<bool>, value: &str) -> anyhow::Result<()> {
    *place = Some(parse_bool(value)?);
    Ok(())
}

/// Sets an integer, in any of Go's bases.
pub fn integer(place: &mut i64, value: &str) -> anyhow::Result<()> {
    *place = parse_int(value)?;
    Ok(())
}

/// Sets one of klog's levels.
pub fn level(place: &mut i32, value: &str) -> anyhow::Result<()> {
    *place = parse_level(value)?;
    Ok(())
}

/// Sets a number with a fraction.
pub fn float(place: &mut f32, value: &str) -> anyhow::Result<()> {
    *place = parse_float32(value)?;
    Ok(())
}

/// Sets a duration.
pub fn duration(place: &mut GoDuration, value: &str) -> anyhow::Result<()> {
    *place = value.parse()?;
    Ok(())
}

/// Sets a text. It cannot fail; it returns a result as the other functions do.
pub fn string(place: &mut String, value: &str) -> anyhow::Result<()> {
    value.clone_into(place);
    Ok(())
}

/// Sets a path; an empty value means none.
pub fn path(place: &mut Option<PathBuf>, value: &str) -> anyhow::Result<()> {
    *place = Some(PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty());
    Ok(())
}

/// Sets one of a few words.
pub fn choice<C: FromStr<Err = anyhow::Error>>(
    place: &mut Option<C>,
    value: &str,
) -> anyhow::Result<()> {
    *place = Some(value.parse()?);
    Ok(())
}

/// Adds the fields of a CSV record to a list. A repeated flag adds more.
pub fn list(place: &mut Vec<String>, value: &str) -> anyhow::Result<()> {
    place.extend(parse_record(value)?);
    Ok(())
}

/// Refuses the values that klog's `--vmodule` refuses. Other values have no effect, because there is one
/// level for all files.
pub fn vmodule(place: &mut String, value: &str) -> anyhow::Result<()> {
    let settings = value.split(',').filter(|setting| !setting.is_empty());
    let settings: Vec<&str> = settings.collect();
    for setting in &settings {
        let level = match setting.split_once('=') {
            Some((pattern, level)) if !pattern.is_empty() => parse_level(level),
            _ => bail!("syntax error: expect comma-separated list of filename=N"),
        };
        match level {
            Ok(level) => ensure!(level >= 0, "negative value for vmodule level"),
            Err(_) => bail!("syntax error: expect comma-separated list of filename=N"),
        }
    }
    *place = settings.join(",");
    Ok(())
}
