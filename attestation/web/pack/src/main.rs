//! Makes the npm package and the page from the verifier's WebAssembly.
//!
//! `vouchsafe-web-pack MODULE SOURCES POLICIES WASM_OPT OUT` has Binaryen's `wasm-opt`, which runs in Node, make
//! the module smaller, and writes `OUT/package/`, which is what npm would publish, and
//! `OUT/verify.html`: one file with script, style, texts, policies and module inside, which runs from any
//! static host and from `file://`. Its Content-Security-Policy allows exactly those by their hashes,
//! WebAssembly, and nothing from anywhere: the page cannot send what it is shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};
use wasm_bindgen_cli_support::Bindgen;

/// The module's name in the package.
const NAME: &str = "vouchsafe_web";
/// Policies that the page brings along, by their file names.
const POLICIES: [&str; 5] =
    ["production-snp", "production-tdx", "simulated", "evidence-strict", "evidence-crypto-only"];

/// What `wasm-opt` does: most of what a full pass would save for a tenth of its time. The features are those that
/// rustc enables for the target.
const WASM_OPT: [&str; 9] = [
    "-O1",
    "--merge-similar-functions",
    "--duplicate-function-elimination",
    "--enable-bulk-memory",
    "--enable-reference-types",
    "--enable-multivalue",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
];

/// The page's own scripts, each after those that it imports.
const SCRIPTS: [&str; 5] = ["chain.mjs", "files.mjs", "artefacts.mjs", "view.mjs", "page.mjs"];

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, sources, policies, wasm_opt, out] = arguments.as_slice() else {
        bail!("usage: vouchsafe-web-pack MODULE SOURCES POLICIES WASM_OPT OUT");
    };
    let (glue, bound) = bind(|bindgen| bindgen.input_path(module).web(true).map(drop))?;
    let (page_glue, page_bound) = bind(|bindgen| bindgen.input_path(module).no_modules(true).map(drop))?;
    if bound != page_bound {
        bail!("the modules for package and page differ");
    }
    let wasm = optimised(&bound, wasm_opt, out)?;
    println!("   the module: {} bytes, {} before wasm-opt", wasm.len(), bound.len());
    package(&glue, &wasm, sources, policies, &out.join("package"))?;
    page(&page_glue, &wasm, sources, policies, &out.join("verify.html"))
}

/// The module with its JavaScript around it.
fn bind(choose: impl FnOnce(&mut Bindgen) -> Result<()>) -> Result<(String, Vec<u8>)> {
    let mut bindgen = Bindgen::new();
    choose(&mut bindgen)?;
    let mut output = bindgen.typescript(false).remove_name_section(true).generate_output()?;
    Ok((output.js().to_owned(), output.wasm_mut().emit_wasm()))
}

fn optimised(wasm: &[u8], wasm_opt: &Path, out: &Path) -> Result<Vec<u8>> {
    fs::create_dir_all(out)?;
    let (before, after) = (out.join("before.wasm"), out.join("after.wasm"));
    write(&before, wasm)?;
    let mut command = Command::new("node");
    command.arg(wasm_opt).args(WASM_OPT).arg(&before).arg("-o").arg(&after);
    let status = command.status().context("cannot start node")?;
    if !status.success() {
        bail!("wasm-opt failed: {status}");
    }
    let optimised = read(&after)?;
    fs::remove_file(&before)?;
    fs::remove_file(&after)?;
    Ok(optimised)
}

fn package(glue: &str, wasm: &[u8], sources: &Path, policies: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out.join("policies"))?;
    write(&out.join(format!("{NAME}.js")), glue.as_bytes())?;
    write(&out.join(format!("{NAME}_bg.wasm")), wasm)?;
    for name in ["index.js", "node.js", "api.js", "index.d.ts", "package.json", "README.md"] {
        write(&out.join(name), &read(&sources.join("package").join(name))?)?;
    }
    // Which judgement decides is the same for page and package.
    write(&out.join("chain.js"), &read(&sources.join("page/chain.mjs"))?)?;
    for name in POLICIES {
        let file = format!("{name}.json");
        write(&out.join("policies").join(&file), &read(&policies.join(&file))?)?;
    }
    Ok(())
}

fn page(glue: &str, wasm: &[u8], sources: &Path, policies: &Path, out: &Path) -> Result<()> {
    let source = |name: &str| text(&sources.join("page").join(name));
    let mut shipped = Vec::new();
    for name in POLICIES {
        let policy = text(&policies.join(format!("{name}.json")))?;
        shipped.push(format!("{}:{}", quoted(name), quoted(&policy)));
    }
    let texts = source("texts.en.json")?;
    let mut parts = vec![
        glue.to_owned(),
        format!("const TEXTS = {texts};"),
        format!("const POLICIES = {{{}}};", shipped.join(",")),
        format!("const MODULE = {};", quoted(&BASE64.encode(wasm))),
    ];
    for name in SCRIPTS {
        parts.push(inlined(&source(name)?));
    }
    let script = parts.join("\n");
    // Inside a script element only this would end it.
    if script.contains("</script") || script.contains("<!--") {
        bail!("the script holds what HTML would take for its end");
    }
    let style = source("page.css")?;
    let csp = format!(
        "default-src 'none'; script-src '{}' 'wasm-unsafe-eval'; style-src '{}'; img-src data:; \
         base-uri 'none'; form-action 'none'",
        hash(&script),
        hash(&style)
    );
    let texts: serde_json::Value = serde_json::from_str(&texts).context("texts.en.json")?;
    let said = |name: &str| texts[name].as_str().with_context(|| format!("texts.en.json lacks {name}"));
    let (title, noscript) = (said("document_title")?, said("noscript")?);
    let values =
        [("CSP", &*csp), ("TITLE", title), ("NOSCRIPT", noscript), ("STYLE", &style), ("SCRIPT", &script)];
    let html = fill(&source("page.html")?, &values)?;
    write(out, html.as_bytes())?;
    println!("   the page: {} bytes", html.len());
    Ok(())
}

/// A module of the page's as part of its one script: what it exports is there, what it imports stands before.
fn inlined(module: &str) -> String {
    let lines = module.lines().filter(|line| !line.starts_with("import "));
    lines.map(|line| line.strip_prefix("export ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// A Content-Security-Policy's source expression for an inline element's text.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(&Sha256::digest(text.as_bytes())))
}

/// Puts values in the places `{{NAME}}` of a template, of which each stands there once.
fn fill(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut places = Vec::new();
    for (name, value) in values {
        let mark = format!("{{{{{name}}}}}");
        let mut found = template.match_indices(&mark);
        let (Some((at, _)), None) = (found.next(), found.next()) else {
            bail!("the page's template holds {mark} not exactly once");
        };
        places.push((at, mark.len(), *value));
    }
    places.sort_unstable();
    let (mut filled, mut done) = (String::new(), 0);
    for (at, length, value) in places {
        filled.push_str(&template[done..at]);
        filled.push_str(value);
        done = at + length;
    }
    filled.push_str(&template[done..]);
    Ok(filled)
}

/// A JavaScript string. What could end a script element is escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '<' => quoted.push_str("\\u003c"),
            '\u{2028}' | '\u{2029}' => quoted.push_str(&format!("\\u{:04x}", u32::from(character))),
            other if other < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(other))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).with_context(|| format!("{} is no text", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_filled_once() {
        assert_eq!(fill("a {{X}} b {{Y}}", &[("Y", "{{X}}"), ("X", "1")]).unwrap(), "a 1 b {{X}}");
        assert!(fill("a", &[("X", "1")]).is_err());
        assert!(fill("{{X}}{{X}}", &[("X", "1")]).is_err());
    }

    #[test]
    fn modules_become_one_script() {
        assert_eq!(inlined("import { a } from \"./a.mjs\";\nexport const b = 1;\n  x"), "const b = 1;\n  x");
    }

    #[test]
    fn strings_cannot_end_the_script() {
        assert_eq!(quoted("</script>\n\"\\\u{1}\u{2028}"), r#""\u003c/script>\n\"\\\u0001\u2028""#);
    }
}
