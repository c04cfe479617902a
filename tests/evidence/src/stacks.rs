//! Every linked key exchange with every linked cipher, and the controls.

use std::sync::{Arc, OnceLock};

use chat_core::key_exchange::NewBundle;
use chat_core::plugin::{Kind, PluginKind};
use chat_core::testing::key_exchange::{Scene, bundle_context};
use chat_core::testing::{Declared, TestEntropy};
use chat_core::{Cipher, KeyExchange, Registry};

use crate::naive::{Naive, NoTag};

/// Options with which a key exchange is tried too, if it knows them.
const VARIANTS: [&str; 2] = ["", "post_quantum = true\n"];

/// Alice and Bob on a stack.
pub struct Stack {
    /// `key-exchange/cipher`.
    pub name: String,
    /// Who talks on it.
    pub scene: Scene,
}

/// A key exchange and what Alice, Bob and Mallory have of it; making RSA keys takes long, so they are made once.
struct Exchange {
    name: String,
    plugin: Arc<dyn KeyExchange>,
    bundles: [NewBundle; 3],
}

impl Exchange {
    fn new(name: String, plugin: Arc<dyn KeyExchange>) -> Self {
        let cipher: Arc<dyn Cipher> = Arc::new(NoTag);
        let bundles = [1, 2, 3].map(|seed| {
            plugin.new_bundle(&mut bundle_context(&cipher, &mut TestEntropy::new(seed))).expect("a bundle")
        });
        Self { name, plugin, bundles }
    }

    fn with(&self, cipher: Arc<dyn Cipher>) -> Stack {
        let name = format!("{}/{}", self.name, cipher.name());
        let bundles = self.bundles.each_ref().map(|made| NewBundle {
            payload: made.payload.clone(),
            secret: made.secret.clone(),
            one_time: made.one_time.clone(),
        });
        // A scene owns its exchange, this one is shared: put in afterwards.
        let mut scene = Scene::new(Box::new(Naive), cipher, bundles);
        scene.exchange = Arc::clone(&self.plugin);
        Stack { name, scene }
    }
}

fn linked(kind: PluginKind) -> Vec<&'static str> {
    let registry = Registry::linked().expect("the plugins of the program");
    registry.iter().filter(|entry| entry.kind == kind).map(|entry| entry.name).collect()
}

fn build<K: Kind + ?Sized>(name: &str, options: &str) -> Option<Box<K>> {
    let text = format!("[{}]\nkind = \"{name}\"\n{options}", K::KIND.table());
    Declared::<K>::linked(&text).expect("it is linked").build(&text).ok()
}

fn exchanges() -> &'static [Exchange] {
    static EXCHANGES: OnceLock<Vec<Exchange>> = OnceLock::new();
    EXCHANGES.get_or_init(|| {
        let variants = |name| VARIANTS.iter().map(move |options| (name, *options));
        let all = linked(PluginKind::KeyExchange).into_iter().flat_map(variants);
        let built = all.filter_map(|(name, options)| {
            let plugin = build::<dyn KeyExchange>(name, options)?;
            let options: String = options.split_whitespace().take(1).map(|key| format!(" {key}")).collect();
            Some(Exchange::new(format!("{name}{options}"), plugin.into()))
        });
        built.collect()
    })
}

fn ciphers() -> Vec<Arc<dyn Cipher>> {
    let names = linked(PluginKind::Cipher).into_iter();
    names.map(|name| Arc::from(build::<dyn Cipher>(name, "").expect("it needs no options"))).collect()
}

/// All that the program can be made of.
pub fn every() -> Vec<Stack> {
    let stacks: Vec<_> =
        exchanges().iter().flat_map(|exchange| ciphers().into_iter().map(|c| exchange.with(c))).collect();
    assert!(stacks.len() >= 12, "only {} stacks", stacks.len());
    stacks
}

/// What must fall: a naive session with each linked cipher.
pub fn controls() -> Vec<Stack> {
    let naive = Exchange::new("naive".to_owned(), Arc::new(Naive));
    ciphers().into_iter().map(|cipher| naive.with(cipher)).collect()
}

/// What must fall where nothing but the cipher's tag protects: a naive session with a cipher that has none.
pub fn without_tag() -> Stack {
    Exchange::new("naive".to_owned(), Arc::new(Naive)).with(Arc::new(NoTag))
}
