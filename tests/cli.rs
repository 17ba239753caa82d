//! What the commands print, as people see it. Written anew by `TRYCMD=overwrite cargo test --test cli`.

#[test]
fn commands() {
    trycmd::TestCases::new().case("tests/cli/*.trycmd");
}
