//! A client stays with the version that it was sent to.

use std::collections::HashMap;

use cutover_control::Canary;
use hyper::StatusCode;
use hyper::header::{COOKIE, SET_COOKIE};

use crate::application::{Application, text};
use crate::caller::canary;
use crate::client::{Client, get, read};
use crate::proxy::Proxy;

/// A browser, as far as cookies go.
#[derive(Default)]
struct Browser {
    jar: HashMap<String, String>,
    /// How many cookies it was given.
    given: usize,
}

impl Browser {
    /// Which version answers.
    async fn ask(&mut self, client: &mut Client) -> String {
        let mut request = get("/");
        if !self.jar.is_empty() {
            let pairs: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().insert(COOKIE, pairs.join("; ").parse().unwrap());
        }
        let response = client.send(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        for cookie in response.headers().get_all(SET_COOKIE) {
            let (pair, attributes) = cookie.to_str().unwrap().split_once("; ").unwrap();
            assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
            assert_eq!(response.headers()["cache-control"], "private");
            let (name, value) = pair.split_once('=').unwrap();
            self.jar.insert(name.to_owned(), value.to_owned());
            self.given += 1;
        }
        read(response).await.unwrap()
    }
}

async fn versions(browsers: &mut [Browser], client: &mut Client) -> Vec<bool> {
    let mut new = Vec::new();
    for browser in browsers {
        new.push(browser.ask(client).await == "new");
    }
    new
}

fn count(of: &[bool]) -> usize {
    of.iter().filter(|new| **new).count()
}

#[tokio::test]
async fn clients_stay_where_they_are_and_only_ever_move_to_the_canary_as_its_weight_rises() {
    let (old, new) = (Application::named("old").await, Application::named("new").await);
    let proxy = Proxy::start().await;
    proxy.switch(1, &[old.target()]).await;
    let mut client = Client::connect(proxy.address).await;
    let mut browsers: Vec<_> = (0..400).map(|_| Browser::default()).collect();
    assert_eq!(count(&versions(&mut browsers, &mut client).await), 0);
    assert!(browsers.iter().all(|browser| browser.given == 0));

    let sticky = |weight| Canary { sticky: true, ..canary(2, weight, &[new.target()]) };
    proxy.weigh(sticky(300)).await;
    let first = versions(&mut browsers, &mut client).await;
    // 120 and 240 with deviations of 9.2 and 9.8: within 7 of them but once in 3 * 10^11 times.
    assert!(count(&first).abs_diff(120) <= 64, "{}", count(&first));
    for _ in 0..3 {
        assert_eq!(versions(&mut browsers, &mut client).await, first);
    }
    proxy.weigh(sticky(600)).await;
    let second = versions(&mut browsers, &mut client).await;
    assert!(count(&second).abs_diff(240) <= 68, "{}", count(&second));
    assert!(first.iter().zip(&second).all(|(before, after)| *after || !before), "somebody went back");
    assert_eq!(versions(&mut browsers, &mut client).await, second);
    // Over a restart too.
    let proxy = proxy.restart().await;
    let mut client = Client::connect(proxy.address).await;
    assert_eq!(versions(&mut browsers, &mut client).await, second);
    assert!(browsers.iter().all(|browser| browser.given == 1));

    // Of another canary nobody has a number yet.
    proxy.weigh(Canary { sticky: true, ..canary(3, 300, &[new.target()]) }).await;
    versions(&mut browsers, &mut client).await;
    assert!(browsers.iter().all(|browser| browser.given == 2 && browser.jar.len() == 1));
    proxy.restore(4, "d3").await.unwrap();
    assert_eq!(count(&versions(&mut browsers, &mut client).await), 0);
    assert!(browsers.iter().all(|browser| browser.given == 2));
}

#[tokio::test]
async fn the_application_sees_all_cookies_and_an_unknown_value_is_as_none() {
    let app = Application::serve(|request| async move {
        text(StatusCode::OK, request.headers()[COOKIE].to_str().unwrap().to_owned())
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    proxy.weigh(Canary { sticky: true, ..canary(2, 500, &[app.target()]) }).await;
    let mut client = Client::connect(proxy.address).await;
    let mut ask = async |cookie: &str| {
        let mut request = get("/");
        request.headers_mut().insert(COOKIE, cookie.parse().unwrap());
        let response = client.send(request).await.unwrap();
        let given = response.headers().get(SET_COOKIE).map(|cookie| cookie.to_str().unwrap().to_owned());
        assert_eq!(read(response).await.unwrap(), cookie);
        given
    };
    let given = ask("session=1; theme=dark").await.unwrap();
    let (name, value) = given.split(';').next().unwrap().split_once('=').unwrap();
    assert_eq!(ask(&format!("session=1; {name}={value}; theme=dark")).await, None);
    for wrong in ["", "1", "0000000000000000-5", &format!("{value}0000")] {
        let again = ask(&format!("session=1; {name}={wrong}")).await.unwrap();
        assert!(again.starts_with(name), "{again}");
    }
}

#[tokio::test]
async fn what_many_may_store_carries_no_cookie() {
    let app = Application::serve(|_| async {
        let mut response = text(StatusCode::OK, "style");
        response.headers_mut().insert("cache-control", "public, max-age=600".parse().unwrap());
        response
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    proxy.weigh(Canary { sticky: true, ..canary(2, 500, &[app.target()]) }).await;
    let response = Client::connect(proxy.address).await.send(get("/")).await.unwrap();
    assert_eq!(response.headers()["cache-control"], "public, max-age=600");
    assert!(!response.headers().contains_key(SET_COOKIE));
}

#[tokio::test]
async fn the_cookie_of_a_client_that_came_over_tls_is_sent_over_tls_alone() {
    let app = Application::named("app").await;
    let proxy =
        Proxy::start_with_options(|options| options.trusted = vec!["127.0.0.0/8".parse().unwrap()]).await;
    proxy.switch(1, &[app.target()]).await;
    proxy.weigh(Canary { sticky: true, ..canary(2, 500, &[app.target()]) }).await;
    let mut client = Client::connect(proxy.address).await;
    for (scheme, secure) in [("https", true), ("http", false)] {
        let mut request = get("/");
        request.headers_mut().insert("x-forwarded-proto", scheme.parse().unwrap());
        let response = client.send(request).await.unwrap();
        let cookie = response.headers()[SET_COOKIE].to_str().unwrap().to_owned();
        assert_eq!(cookie.ends_with("; Secure"), secure, "{cookie}");
        read(response).await.unwrap();
    }
}
