//! The table of the documentation.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::FAULTS;
use crate::consumers::CONSUMERS;
use crate::disturbances::DISTURBANCES;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/recipes/README.md");

/// The page has a row for each consumer and each fault that moves it in the tests above, and names what
/// must not move it. So it promises nothing that no test holds.
pub(crate) fn the_page_promises_what_these_tests_hold() -> anyhow::Result<()> {
    let page = fs::read_to_string(Path::new(PAGE)).context("reading the page")?;
    let table = table();
    ensure!(
        page.contains(&table),
        "docs/recipes/README.md lacks\n{table}"
    );
    Ok(())
}

fn table() -> String {
    let mut table = String::from(
        "| consumer | fault | condition | acted, once | let go | did not act wrongly |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for consumer in CONSUMERS {
        for fault in FAULTS {
            let read = consumer
                .reads
                .iter()
                .filter(|read| fault.conditions.contains(read));
            let read: Vec<_> = read.map(|condition| format!("`{condition}`")).collect();
            if !read.is_empty() {
                let row = format!(
                    "| {} | {} | {} | {} | {} | yes |\n",
                    consumer.name,
                    fault.name,
                    read.join(", "),
                    consumer.acts,
                    consumer.lets_go
                );
                table.push_str(&row);
            }
        }
    }
    table.push_str(
        "\nThe last column: on a node that is well and on a sick one, nobody did anything when\n\n",
    );
    let disturbances = DISTURBANCES.iter();
    table.extend(disturbances.map(|disturbance| format!("* {}\n", disturbance.name)));
    table
}
