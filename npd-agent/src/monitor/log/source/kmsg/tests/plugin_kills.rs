//! Kills of the agent's own plugins.

use super::*;

#[tokio::test]
async fn the_kill_of_a_plugin_names_the_plugin() {
    let mut bench = KmsgBench::new(&[r#"{"plugin": "kmsg", "lookback": "1h",
        "rules": [{"type": "temporary", "reason": "Killed", "pattern": "Killed process .*"}]}"#]);
    let about = |group: &str, pid: u32| {
        format!(
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg={group},task=x,pid={pid},uid=0"
        )
    };
    let plugin = "/a/npd-plugins-0a/gpu.json-rule-2-67108864";
    let log = format!(
        "6,1,1,-;{}\n6,2,1,-;Killed process 5 (x)\n6,3,1,-;{}\n6,4,1,-;Killed process 6 (x)\n14,5,1,-;{}\n6,6,1,-;Killed process 7 (x)",
        about(plugin, 5),
        about("/a", 6),
        about(plugin, 7),
    );
    let _gone = bench.read(recorded(&log)).await;
    check(
        &bench.found(),
        &expect![[r#"
        one.json Killed -: "Killed process 5 (x), plugin rules[2] of gpu.json, whose memory_limit is 64Mi" oom 5
        one.json Killed -: "Killed process 6 (x)" oom 6
        one.json Killed -: "Killed process 7 (x)" oom 7
    "#]],
    );
}
