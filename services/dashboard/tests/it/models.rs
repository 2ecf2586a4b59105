//! Models: the list, the comparison, a page each.

use domain::catalogue::Status;
use http::StatusCode;

use crate::site::Site;

#[tokio::test]
async fn every_model_has_its_page_with_what_its_file_says() {
    let site = Site::new().await;
    let list = site.page("/models").await;
    for model in site.catalogue.models() {
        let path = format!("/models/{}", model.slug);
        assert!(
            list.contains(&format!("href=\"{path}\"")),
            "{path} is not listed"
        );
        let (page, markdown) = (
            site.page(&path).await,
            site.page(&format!("{path}.md")).await,
        );
        assert!(page.contains(&format!("<h1>{}</h1>", model.name)), "{path}");
        for text in [&page, &markdown] {
            assert!(text.contains(&model.slug), "{path}");
            for param in model.params.iter().filter(|param| !param.ours) {
                assert!(text.contains(&param.name), "{path}: {}", param.name);
            }
            for language in ["curl", "Python", "Node", "Java"] {
                assert!(text.contains(language), "{path}: {language}");
            }
        }
        let succeeded = page.contains("Succeeded: what is asked of it");
        assert_eq!(succeeded, model.status == Status::Succeeded, "{path}");
    }
}

#[tokio::test]
async fn another_name_leads_to_the_models_own() {
    let site = Site::new().await;
    let reply = site.get("/models/gemini-3-flash").await;
    assert_eq!(reply.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(reply.header("location"), "/models/gemini");
}

#[tokio::test]
async fn the_list_is_filtered_by_category_and_by_words() {
    let site = Site::new().await;
    let shown = |page: &str| page.matches("name=\"m\"").count();
    let count = site.catalogue.models().len();
    assert_eq!(shown(&site.page("/models").await), count);
    for (query, there, not_there) in [
        ("category=video", "/models/kling-3\"", "/models/flux-2\""),
        ("q=FLUX", "/models/flux-2\"", "/models/kling-3\""),
        (
            "q=kling&category=image",
            "/models/kling-image-o1\"",
            "/models/kling-3\"",
        ),
        (
            "q=kuaishou+video",
            "/models/kling-3\"",
            "/models/kling-image-o1\"",
        ),
    ] {
        let page = site.page(&format!("/models?{query}")).await;
        assert!(page.contains(there) && !page.contains(not_there), "{query}");
        assert!(shown(&page) < count, "{query}");
    }
    for query in ["category=nothing", "q=zzzzzz"] {
        let page = site.page(&format!("/models?{query}")).await;
        assert!(page.contains("No model is found by that"), "{query}");
    }
}

#[tokio::test]
async fn what_is_searched_for_is_shown_as_text() {
    let site = Site::new().await;
    for path in [
        "/models?q=%3Cscript%3Ealert(1)%3C/script%3E%22",
        "/models?category=%22%3E%3Cscript%3E",
        "/models/compare?m=%3Cscript%3E",
        "/models/kling-3?duration=%22%3E%3Cscript%3E",
    ] {
        let page = site.page(path).await;
        assert_eq!(page.matches("<script").count(), 1, "{path}: the page's own");
        assert!(!page.contains("\"><script"), "{path}");
    }
    let long = format!("/models?q={}", "a".repeat(5_000));
    let page = site.page(&long).await;
    let value = page
        .split("name=\"q\" type=\"search\" value=\"")
        .nth(1)
        .unwrap();
    assert_eq!(value.split('"').next().unwrap().len(), 100);
}

#[tokio::test]
async fn four_models_are_compared_and_the_fifth_is_left_out() {
    let site = Site::new().await;
    let page = site
        .page("/models/compare?m=kling-3&m=veo-3-1&m=wan-2-6&m=vidu-q3&m=hailuo-2-3&m=nothing")
        .await;
    assert_eq!(
        page.matches("<th scope=\"col\"><a href=\"/models/").count(),
        4
    );
    assert!(page.contains("Left out: hailuo-2-3, nothing."), "{page}");
    assert!(page.contains("aspect_ratio"));
    let none = site.page("/models/compare").await;
    assert!(none.contains("Nothing to compare yet"));
    let two = site.page("/models/compare.md?m=kling-3&m=flux-2").await;
    assert!(
        two.contains("| price | from 40 credits per second | from "),
        "{two}"
    );
}
