//! What becomes of transcripts, as tables.

use serde_json::{Map, Value, json};

use super::*;

fn segment(id: u64, start: u64, end: u64, text: &str) -> Segment {
    Segment {
        id,
        start: Duration::from_millis(start),
        end: Duration::from_millis(end),
        text: text.to_owned(),
        speaker: None,
        more: Map::new(),
    }
}

fn transcript(text: &str, segments: Vec<Segment>) -> Transcript {
    Transcript {
        text: text.to_owned(),
        language: Some("english".to_owned()),
        duration: Duration::from_millis(61_500),
        words: vec![Word {
            word: "Hi".to_owned(),
            start: Duration::from_millis(250),
            end: Duration::from_millis(500),
            speaker: Some("a".to_owned()),
        }],
        segments,
    }
}

fn heard(transcript: &Transcript) -> Heard<'_> {
    Heard {
        transcript,
        seconds: 62,
    }
}

#[test]
fn titles_have_their_moments_and_lines() {
    let segments = vec![
        segment(0, 0, 1_250, " Hi\n\nthere."),
        segment(1, 61_001, 61_002, "a --> b & <c>"),
        segment(2, 61_500, 61_000, "   "),
        segment(3, 3_599_999, 3_600_000, "late"),
        segment(4, 360_000_000, 359_000_000, "later"),
    ];
    let transcript = transcript("Hi there.", segments);
    let heard = heard(&transcript);
    assert_eq!(
        heard.srt(),
        "1\n00:00:00,000 --> 00:00:01,250\nHi there.\n\n\
         2\n00:01:01,001 --> 00:01:01,002\na -> b & <c>\n\n\
         3\n00:59:59,999 --> 01:00:00,000\nlate\n\n\
         4\n100:00:00,000 --> 100:00:00,000\nlater\n\n"
    );
    assert_eq!(
        heard.vtt(),
        "WEBVTT\n\n\
         00:00:00.000 --> 00:00:01.250\nHi there.\n\n\
         00:01:01.001 --> 00:01:01.002\na --&gt; b &amp; &lt;c&gt;\n\n\
         00:59:59.999 --> 01:00:00.000\nlate\n\n\
         100:00:00.000 --> 100:00:00.000\nlater\n\n"
    );
}

#[test]
fn without_moments_all_of_it_is_one_title_and_without_words_there_is_none() {
    let spoken = transcript("Hi there.", Vec::new());
    assert_eq!(
        heard(&spoken).srt(),
        "1\n00:00:00,000 --> 00:01:01,500\nHi there.\n\n"
    );
    let untold = Transcript {
        duration: Duration::ZERO,
        ..spoken
    };
    assert_eq!(
        heard(&untold).vtt(),
        "WEBVTT\n\n00:00:00.000 --> 00:01:02.000\nHi there.\n\n"
    );
    let silent = transcript("", Vec::new());
    assert_eq!(heard(&silent).srt(), "");
    assert_eq!(heard(&silent).vtt(), "WEBVTT\n\n");
    assert_eq!(
        heard(&silent).events().unwrap(),
        "data: {\"type\":\"transcript.text.done\",\"text\":\"\",\"usage\":{\"type\":\"duration\",\"seconds\":62}}\n\ndata: [DONE]\n\n"
    );
}

#[test]
fn json_tells_what_was_asked_for() {
    let usage = json!({"type": "duration", "seconds": 62});
    let mut one = segment(0, 0, 1_250, " Hi.");
    one.more.insert("avg_logprob".to_owned(), json!(-0.25));
    let transcript = transcript("Hi.", vec![one]);
    let heard = heard(&transcript);
    let told = serde_json::to_value(heard.told()).unwrap();
    assert_eq!(told, json!({"text": "Hi.", "usage": usage}));
    let words = json!([{"word": "Hi", "start": 0.25, "end": 0.5, "speaker": "a"}]);
    let segments = json!([{
        "id": 0, "start": 0.0, "end": 1.25, "text": " Hi.", "avg_logprob": -0.25, "seek": 0, "tokens": [],
        "temperature": 0.0, "compression_ratio": 0.0, "no_speech_prob": 0.0,
    }]);
    for (moments, with_words, with_segments) in [
        (Moments::Segments, false, true),
        (Moments::Words, true, false),
        (Moments::Both, true, true),
    ] {
        let mut expected = json!({
            "task": "transcribe", "language": "english", "duration": 61.5, "text": "Hi.", "usage": usage,
        });
        if with_words {
            expected["words"] = words.clone();
        }
        if with_segments {
            expected["segments"] = segments.clone();
        }
        let told = serde_json::to_value(heard.verbose(moments).unwrap()).unwrap();
        assert_eq!(told, expected, "{moments:?}");
    }
    let unknown = Transcript {
        language: None,
        ..transcript
    };
    let told = Heard {
        transcript: &unknown,
        seconds: 62,
    };
    let told = serde_json::to_value(told.verbose(Moments::Words).unwrap()).unwrap();
    assert_eq!(told["language"], "");
}

#[test]
fn events_together_are_the_text() {
    for (text, count) in [
        ("", 0),
        ("Hi", 1),
        ("one two  three four five six", 2),
        ("Ünïcödé 中文 ok\nnew line here and there", 2),
    ] {
        assert_eq!(pieces(text).concat(), text);
        assert_eq!(pieces(text).len(), count, "{text}");
        let transcript = transcript(text, Vec::new());
        let events = heard(&transcript).events().unwrap();
        let told: Vec<Value> = events
            .split("\n\n")
            .filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok())
            .collect();
        let (done, deltas) = told.split_last().unwrap();
        let deltas: String = deltas
            .iter()
            .map(|event| event["delta"].as_str().unwrap())
            .collect();
        assert_eq!((deltas.as_str(), done["text"].as_str()), (text, Some(text)));
        assert_eq!(done["type"], "transcript.text.done");
    }
}
