//! The record of a song's pictures.

use serde::Deserialize;
use serde_json::Value;
use upstream::Failure;

use super::{super::Progress, failed};

/// Where it is, below the address.
pub(super) const RECORD: &str = "api/v1/suno/cover/record-info";
/// The code of an order for what was made before, beside the task that made it.
pub(super) const MADE: i64 = 400;
/// The pictures of an order.
const PICTURES: usize = 2;
/// How it stands, in their numbers: 0 waits, and 2 runs.
const DONE: i64 = 1;
const FAILED: i64 = 3;

/// The wire shape of the record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    success_flag: i64,
    response: Option<Pictures>,
    error_code: Option<Value>,
    error_message: Option<String>,
}

/// The wire shape of what it holds.
#[derive(Deserialize)]
struct Pictures {
    images: Option<Vec<String>>,
}

// === impl Record ===

impl Record {
    pub(super) fn progress(self) -> Result<Progress, Failure> {
        Ok(match self.success_flag {
            DONE => {
                let pictures = self.response.and_then(|response| response.images);
                let mut files = pictures.unwrap_or_default();
                files.retain(|url| !url.is_empty());
                if files.len() < PICTURES {
                    return Err(Failure::malformed(
                        "a finished order has not all of its pictures",
                    ));
                }
                Progress::Done {
                    files,
                    about: Vec::new(),
                    cost: None,
                }
            }
            FAILED => Progress::Failed(failed(
                "",
                self.error_code.as_ref(),
                self.error_message.as_ref(),
            )),
            _ => Progress::Running {
                percent: None,
                position: None,
                clips: Vec::new(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::super::for_tests::shown, *};

    #[test]
    fn a_flag_says_how_it_stands() {
        for (record, told) in [
            (json!({"successFlag": 0, "response": null}), "running"),
            (json!({"successFlag": 2}), "running"),
            (
                json!({"successFlag": 1, "response": {"images": ["https://a/1", "https://a/2"]}}),
                "done https://a/1 https://a/2",
            ),
            (
                json!({"successFlag": 3, "errorCode": 501, "errorMessage": "no"}),
                "failed overloaded",
            ),
            (
                json!({"successFlag": 3, "errorCode": 400, "errorMessage": "no"}),
                "failed moderated: no",
            ),
            (
                json!({"successFlag": 1, "response": {"images": ["https://a/1", ""]}}),
                "malformed",
            ),
            (
                json!({"successFlag": 1, "response": {"images": null}}),
                "malformed",
            ),
        ] {
            let read: Record = serde_json::from_value(record.clone()).unwrap();
            assert_eq!(shown(&read.progress()), told, "{record}");
        }
    }
}
