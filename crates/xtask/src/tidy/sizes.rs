//! How large things may be. Small enough to be read at one sitting is the aim; the numbers are where reading gets hard.
//! Wire and row types mirror somebody else's shape and are exempt from the count of fields and variants.

use super::{Finding, source::Source};
use syn::{Attribute, Block, FnArg, Signature, spanned::Spanned, visit::Visit};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const ARGUMENTS: usize = 5;
const PARTS: usize = 12;
/// Files whose every type mirrors a wire format or a table row.
const MIRRORS: [&str; 3] = ["/wire.rs", "/row.rs", "/rows.rs"];

/// Files over their budget of lines.
pub(crate) fn file_lines(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    let problem = format!("{lines} lines in one file");
    (lines > FILE_LINES && !mirrors(source))
        .then(|| Finding::new(&source.path, 0, problem, FILE_LINES.to_string()))
}

/// Files that do not open by saying what they are for.
pub(crate) fn opening(source: &Source) -> Option<Finding> {
    let opens = source.text.trim_start().starts_with("//!");
    let allowed = "a first line `//!` that says what the file is for";
    (!opens).then(|| Finding::new(&source.path, 1, "no opening comment", allowed))
}

/// Functions too long or with too many arguments, and types with too many parts.
pub(crate) fn item_sizes(source: &Source) -> Vec<Finding> {
    let mut sizes = Sizes {
        source,
        findings: Vec::new(),
    };
    sizes.visit_file(&source.tree);
    sizes.findings
}

fn mirrors(source: &Source) -> bool {
    MIRRORS.iter().any(|name| source.path.ends_with(name))
}

struct Sizes<'s> {
    source: &'s Source,
    findings: Vec<Finding>,
}

// === impl Sizes ===

impl Sizes<'_> {
    fn limit(&mut self, line: usize, what: &str, size: usize, limit: usize) {
        if size > limit && !self.source.in_test(line) {
            let (problem, allowed) = (format!("{size} {what}"), limit.to_string());
            let finding = Finding::new(&self.source.path, line, problem, allowed);
            self.findings.push(finding);
        }
    }

    fn function(&mut self, signature: &Signature, body: Option<&Block>) {
        self.arguments(signature);
        if let Some(block) = body {
            self.length(signature, block);
        }
    }

    fn arguments(&mut self, signature: &Signature) {
        let line = signature.fn_token.span().start().line;
        let arguments = signature.inputs.iter();
        let arguments = arguments.filter(|argument| matches!(argument, FnArg::Typed(_)));
        self.limit(
            line,
            &format!("arguments of {}", signature.ident),
            arguments.count(),
            ARGUMENTS,
        );
    }

    fn length(&mut self, signature: &Signature, block: &Block) {
        let line = signature.fn_token.span().start().line;
        let span = block.span();
        let lines = span.end().line.saturating_sub(span.start().line) + 1;
        self.limit(
            line,
            &format!("lines in {}", signature.ident),
            lines,
            FUNCTION_LINES,
        );
    }

    fn parts(&mut self, name: &syn::Ident, attributes: &[Attribute], parts: usize, what: &str) {
        if !mirrors(self.source) && !says_mirror(attributes) {
            self.limit(
                name.span().start().line,
                &format!("{what} of {name}"),
                parts,
                PARTS,
            );
        }
    }
}

impl<'a> Visit<'a> for Sizes<'_> {
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.function(&item.sig, Some(&item.block));
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        for function in &item.items {
            if let syn::ImplItem::Fn(function) = function {
                // What a trait demands, its definition answers for: ours are looked at there.
                if item.trait_.is_none() {
                    self.arguments(&function.sig);
                }
                self.length(&function.sig, &function.block);
            }
        }
        syn::visit::visit_item_impl(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        self.function(&item.sig, item.default.as_ref());
        syn::visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_enum(&mut self, item: &'a syn::ItemEnum) {
        self.parts(&item.ident, &item.attrs, item.variants.len(), "variants");
    }

    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        self.parts(&item.ident, &item.attrs, item.fields.len(), "fields");
    }
}

/// Whether a type tells its shape in the API's document.
fn is_schema(attributes: &[Attribute]) -> bool {
    let derives = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("derive"))
        .filter_map(|derive| derive.meta.require_list().ok());
    derives
        .flat_map(|derive| derive.tokens.clone())
        .any(|name| name.to_string() == "ToSchema")
}

/// Whether a type's doc comment calls it a wire or a row type, or it is a schema of the API's document.
fn says_mirror(attributes: &[Attribute]) -> bool {
    if is_schema(attributes) {
        return true;
    }
    let docs = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"));
    docs.filter_map(|doc| doc.meta.require_name_value().ok())
        .any(|doc| {
            let syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(text),
                ..
            }) = &doc.value
            else {
                return false;
            };
            let text = text.value().to_lowercase();
            let mut words = text.split(|c: char| !c.is_alphanumeric());
            words.any(|word| matches!(word, "wire" | "row"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::parse(path, text).unwrap()
    }

    fn problems(text: &str) -> Vec<String> {
        let findings = item_sizes(&source("crates/x/src/a.rs", text));
        findings.into_iter().map(|f| f.problem).collect()
    }

    #[test]
    fn a_file_may_have_500_lines() {
        let text = "//! A.\n".repeat(500);
        assert!(file_lines(&source("crates/x/src/a.rs", &text)).is_none());
        let text = text + "//! B.\n";
        assert!(file_lines(&source("crates/x/src/a.rs", &text)).is_some());
        assert!(file_lines(&source("crates/x/src/wire.rs", &text)).is_none());
    }

    #[test]
    fn a_file_opens_with_its_purpose() {
        assert!(opening(&source("a.rs", "//! A.\n")).is_none());
        assert!(opening(&source("a.rs", "use a::b;\n")).is_some());
    }

    #[test]
    fn a_function_may_have_70_lines() {
        let body = |lines: usize| format!("fn f() {{\n{}}}\n", "x();\n".repeat(lines));
        assert!(problems(&body(68)).is_empty());
        assert_eq!(problems(&body(69)), ["71 lines in f"]);
        assert!(problems(&format!("#[test]\n{}", body(69))).is_empty());
    }

    #[test]
    fn a_function_may_have_5_arguments_besides_self() {
        let text = "impl S { fn f(&self, a: A, b: A, c: A, d: A, e: A) {} }";
        assert!(problems(text).is_empty());
        let text = "trait T { fn f(&self, a: A, b: A, c: A, d: A, e: A, f: A); }";
        assert_eq!(problems(text), ["6 arguments of f"]);
        let text = "impl S { fn f(&self, a: A, b: A, c: A, d: A, e: A, f: A) {} }";
        assert_eq!(problems(text), ["6 arguments of f"]);
        let text = "impl T for S { fn f(&self, a: A, b: A, c: A, d: A, e: A, f: A) {} }";
        assert!(problems(text).is_empty(), "the trait decides");
    }

    #[test]
    fn a_type_may_have_12_parts_unless_it_mirrors_something() {
        let fields = |n: usize| (0..n).map(|i| format!("f{i}: A,")).collect::<String>();
        let variants = |n: usize| (0..n).map(|i| format!("V{i},")).collect::<String>();
        assert!(problems(&format!("struct S {{ {} }}", fields(12))).is_empty());
        assert_eq!(
            problems(&format!("struct S {{ {} }}", fields(13))),
            ["13 fields of S"]
        );
        assert_eq!(
            problems(&format!("enum E {{ {} }}", variants(13))),
            ["13 variants of E"]
        );
        for mirror in ["/// A row of `task`.", "#[derive(Serialize, ToSchema)]"] {
            let exempt = format!("{mirror}\nstruct S {{ {} }}", fields(13));
            assert!(problems(&exempt).is_empty(), "{mirror}");
        }
    }
}
