//! Makes the npm package and the page from the verifier's WebAssembly.
//!
//! `vouchsafe-web-pack MODULE SOURCES POLICIES OUT` writes `OUT/package/`, which is what npm would publish, and
//! `OUT/verify.html`: one file with script, style, texts, policies and module inside, which runs from any
//! static host and from `file://`. Its Content-Security-Policy allows exactly those by their hashes,
//! WebAssembly, and nothing from anywhere: the page cannot send what it is shown.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};
use wasm_bindgen_cli_support::Bindgen;

/// The module's name in the package.
const NAME: &str = "vouchsafe_web";
/// Policies that the page brings along, by their file names.
const POLICIES: [&str; 5] =
    ["production-snp", "production-tdx", "simulated", "evidence-strict", "evidence-crypto-only"];

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, sources, policies, out] = arguments.as_slice() else {
        bail!("usage: vouchsafe-web-pack MODULE SOURCES POLICIES OUT");
    };
    package(module, sources, policies, &out.join("package"))?;
    page(module, sources, policies, &out.join("verify.html"))
}

fn package(module: &Path, sources: &Path, policies: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out.join("policies"))?;
    let mut bound = Bindgen::new();
    let mut output =
        bound.input_path(module).web(true)?.typescript(false).remove_name_section(true).generate_output()?;
    write(&out.join(format!("{NAME}.js")), output.js().as_bytes())?;
    let wasm = output.wasm_mut().emit_wasm();
    write(&out.join(format!("{NAME}_bg.wasm")), &wasm)?;
    println!("   the module: {} bytes", wasm.len());
    for name in ["index.js", "index.d.ts", "package.json", "README.md"] {
        write(&out.join(name), &read(&sources.join("package").join(name))?)?;
    }
    for name in POLICIES {
        let file = format!("{name}.json");
        write(&out.join("policies").join(&file), &read(&policies.join(&file))?)?;
    }
    Ok(())
}

fn page(module: &Path, sources: &Path, policies: &Path, out: &Path) -> Result<()> {
    let mut bound = Bindgen::new();
    let mut output = bound
        .input_path(module)
        .no_modules(true)?
        .typescript(false)
        .remove_name_section(true)
        .generate_output()?;
    let wasm = BASE64.encode(&output.wasm_mut().emit_wasm());
    let source = |name: &str| text(&sources.join("page").join(name));

    let mut shipped = Vec::new();
    for name in POLICIES {
        let policy = text(&policies.join(format!("{name}.json")))?;
        shipped.push(format!("{}:{}", quoted(name), quoted(&policy)));
    }
    let script = [
        output.js().to_owned(),
        format!("const TEXTS = {};", source("texts.en.json")?),
        format!("const POLICIES = {{{}}};", shipped.join(",")),
        format!("const MODULE = {};", quoted(&wasm)),
        source("chain.js")?,
        source("view.js")?,
        source("page.js")?,
    ]
    .join("\n");
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
    let html = fill(&source("page.html")?, &[("CSP", &csp), ("STYLE", &style), ("SCRIPT", &script)])?;
    write(out, html.as_bytes())?;
    println!("   the page: {} bytes", html.len());
    Ok(())
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
    fn strings_cannot_end_the_script() {
        assert_eq!(quoted("</script>\n\"\\\u{1}\u{2028}"), r#""\u003c/script>\n\"\\\u0001\u2028""#);
    }
}
