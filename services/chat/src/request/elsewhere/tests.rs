//! Which URLs are found, and what is refused because it cannot be looked at.

use super::*;

/// The URLs of a part; or the field that is wrong, and what it must be.
fn found(scope: Scope, part: &str) -> Result<Vec<Elsewhere>, Problem> {
    let (mut urls, part) = (Vec::new(), serde_json::from_str(part).unwrap());
    of_part(&mut urls, (scope, &format_args!("p")), part)?;
    Ok(urls)
}

#[test]
fn urls_are_found_wherever_they_stand() {
    for (part, expected) in [
        (
            r#"{"type":"image_url","image_url":{"url":"https://a.example/1"}}"#,
            "image_url.url",
        ),
        (
            r#"{"type":"image_url","image_url":"http:\/\/10.0.0.1/"}"#,
            "image_url",
        ),
        (
            r#"{"type":"audio_url","audio_url":{"url":"odd"}}"#,
            "audio_url.url",
        ),
        (
            r#"{"type":"file","file":{"file_data":"HTTPS://a.example/1.pdf"}}"#,
            "file.file_data",
        ),
        (
            r#"{"type":"file","file":{"file_data":" http:10.0.0.1"}}"#,
            "file.file_data",
        ),
        (
            r#"{"type":"new","frames":["data:,","gopher://10.0.0.1/"]}"#,
            "frames[1]",
        ),
        (r#"{"type":"new","frame_urls":["a"]}"#, "frame_urls[0]"),
        (r#"{"type":"new","imageUri":"a"}"#, "imageUri"),
        (
            r#"{"type":"new","n":1,"b":true,"x":null,"f":1.5,"deep":[[{"Src":"file:///etc/passwd"}]]}"#,
            "deep[0][0].Src",
        ),
    ] {
        let found = found(Scope::Part, part).unwrap();
        let params: Vec<_> = found.iter().map(|found| found.param.as_str()).collect();
        assert_eq!(params, [format!("p.{expected}")], "{part}");
    }
}

#[test]
fn what_leads_nowhere_is_none() {
    for part in [
        r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}"#,
        r#"{"type":"image_url","image_url":{"url":"file_01h455vb4pex5vsknk084sn02q"}}"#,
        r#"{"type":"input_audio","input_audio":{"data":"UklGRiQAAABXQVZF","format":"wav"}}"#,
        r#"{"type":"file","file":{"filename":"C:\\a.pdf","file_data":"data:application/pdf;base64,AAAA"}}"#,
        r#"{"type":"file","file":{"filename":"note: this.pdf"}}"#,
        r#"{"type":"new","at":"12:30","url":null}"#,
        r#"{"type":"file","file":{"filename":"https://a.example/1.pdf"}}"#,
        r#"{"type":"thinking","thinking":"http://localhost:3000 gives 500"}"#,
        r#"{"type":"tool_result","content":[{"type":"text","text":"https: a guide"}]}"#,
    ] {
        assert_eq!(found(Scope::Part, part), Ok(Vec::new()), "{part}");
    }
}

#[test]
fn what_cannot_be_read_to_its_end_is_refused() {
    let deep = format!("{}{}", "[".repeat(130), "]".repeat(130));
    for odd in ["1e999", r#""\ud800""#, deep.as_str()] {
        let part = format!(
            r#"{{"type":"image_url","a":{odd},"image_url":{{"url":"http://169.254.169.254/"}}}}"#
        );
        assert_eq!(
            found(Scope::Part, &part),
            Err(Problem::invalid("p", PLAIN)),
            "{odd}"
        );
    }
}

#[test]
fn neither_many_urls_nor_long_names_take_room() {
    let name = "x".repeat(65_536);
    let part = |count, name: &str| {
        let urls = vec![r#""""#; count].join(",");
        format!(r#"{{"type":"x","{name}url":[{urls}]}}"#)
    };
    assert_eq!(found(Scope::Part, &part(MOST, "")).unwrap().len(), MOST);
    for (part, says) in [
        (part(MOST + 1, ""), "256"),
        (part(1, &name), "256 bytes"),
        (part(100_000, &name), "256 bytes"),
    ] {
        let problem = found(Scope::Part, &part).unwrap_err();
        assert_eq!(problem.param, "p");
        assert!(problem.message.contains(says), "{}", problem.message);
    }
    // No URL, and a path is made for none of them: as many copies of the name would be more than 60 GB.
    let numbers = vec!["1"; 1_000_000].join(",");
    let long = format!(r#"{{"type":"x","{name}":[{numbers}]}}"#);
    assert_eq!(found(Scope::Part, &long), Ok(Vec::new()));
}

#[test]
fn of_a_text_only_what_it_has_beside_it_is_looked_at() {
    let part = r#"{"type":"text","text":"https://a.example/\ud800","x":"https://b.example/","more":{"file_url":"https://c.example/"}}"#;
    let params: Vec<_> = found(Scope::Text, part)
        .unwrap()
        .into_iter()
        .map(|found| found.param)
        .collect();
    assert_eq!(params, ["p.more.file_url"]);
}
