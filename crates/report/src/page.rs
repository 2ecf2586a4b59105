//! One page of HTML that needs nothing else: Markdown, with its drawings inside.

use pulldown_cmark::{Options, Parser, html::push_html};

/// Light and dark by the reader's own setting; drawings keep their white ground.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;display:block;overflow-x:auto;margin:1rem 0}\
th,td{border-bottom:1px solid #8884;padding:.25rem .6rem;text-align:left;vertical-align:top}\
td[style*=right],th[style*=right]{font-variant-numeric:tabular-nums;white-space:nowrap}\
code{font-size:.9em}svg{max-width:100%;height:auto;margin:.5rem 0}";

/// The page. A drawing goes where the text has an image of its name: `![…](NAME.svg)`.
pub fn html(title: &str, markdown: &str, drawings: &[(String, String)]) -> String {
    let mut body = String::new();
    push_html(&mut body, Parser::new_ext(markdown, Options::ENABLE_TABLES));
    for (name, svg) in drawings {
        body = inlined(&body, name, svg);
    }
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n"
    )
}

/// With the drawing in the place of the image that names it, whatever stands before its name.
fn inlined(body: &str, name: &str, svg: &str) -> String {
    let source = format!("{name}.svg\"");
    let Some(at) = body.find(&source) else {
        return body.to_owned();
    };
    let begin = body.get(..at).and_then(|before| before.rfind("<img"));
    let end = body.get(at..).and_then(|after| after.find('>'));
    let (Some(begin), Some(end)) = (begin, end) else {
        return body.to_owned();
    };
    let before = body.get(..begin).unwrap_or_default();
    let after = body.get(at + end + 1..).unwrap_or_default();
    format!("{before}{svg}{after}")
}

/// Text as it may stand in HTML and in SVG.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_its_tables_and_its_drawings() {
        let markdown =
            "# Found\n\n| a | b |\n| --- | --- |\n| 1 | <b> |\n\n![a curve](plots/curve.svg)\n";
        let drawings = [("curve".to_owned(), "<svg>drawn</svg>".to_owned())];
        let page = html("A & B", markdown, &drawings);
        assert!(page.contains("<title>A &amp; B</title>"), "{page}");
        assert!(
            page.contains("<table>") && page.contains("<td>1</td>"),
            "{page}"
        );
        assert!(
            page.contains("<svg>drawn</svg>") && !page.contains("<img"),
            "{page}"
        );
    }
}
