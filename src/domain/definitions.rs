//! The kinds and rules in force, as one immutable value. A change of definitions is an input like any other:
//! it is journalled, and a replay evaluates old readings under the rules of their time.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::kind::Kind;
use super::rule::{ExpressionError, Rule, RuleDef, RuleField};

/// Kinds and rules as written: what is stored beside the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DefinitionSource {
    /// Device kinds.
    pub kinds: Vec<Kind>,
    /// Rules, in file order.
    pub rules: Vec<RuleDef>,
}

impl DefinitionSource {
    /// The stored form (JSON) and the hash that names it.
    ///
    /// # Errors
    /// When a number in it is not finite: JSON has no word for that.
    pub fn stored(&self) -> Result<(String, DefinitionsHash), serde_json::Error> {
        let source = serde_json::to_string(self)?;
        let hash = Sha256::digest(source.as_bytes()).into();
        Ok((source, hash))
    }

    /// Reads the stored form back.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn from_stored(source: &str) -> Result<DefinitionSource, serde_json::Error> {
        serde_json::from_str(source)
    }
}

/// SHA-256 of a [`DefinitionSource`] in its stored form: names it in the journal.
pub type DefinitionsHash = [u8; 32];

/// A kind's number in [`Definitions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KindIndex(pub u16);

/// A kind with the rules that watch it.
#[derive(Debug, Clone)]
pub struct KindRules {
    /// The kind.
    pub kind: Kind,
    /// Its rules, the most urgent first, else in file order: of several that one reading raises, the most
    /// urgent is announced first.
    pub rules: Vec<Rule>,
}

/// Kinds and rules, checked and compiled.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    source: DefinitionSource,
    kinds: Vec<KindRules>,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// The rule's place in [`DefinitionSource::rules`].
    pub rule: usize,
    /// What is wrong.
    pub problem: RuleProblem,
}

/// The ways in which a rule can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleProblem {
    /// `on` names a kind that does not exist.
    UnknownKind,
    /// Another rule has the same id.
    DuplicateId,
    /// A condition does not parse or does not fit the kind.
    Expression(RuleField, ExpressionError),
}

impl Definitions {
    /// Checks and compiles `source`; every error at once.
    pub fn compile(source: DefinitionSource) -> Result<Definitions, Vec<RuleError>> {
        let mut kinds: Vec<KindRules> = source
            .kinds
            .iter()
            .map(|kind| KindRules {
                kind: kind.clone(),
                rules: Vec::new(),
            })
            .collect();
        let mut errors = Vec::new();
        for (place, def) in source.rules.iter().enumerate() {
            let mut report = |problem| errors.push(RuleError { rule: place, problem });
            if source
                .rules
                .iter()
                .take(place)
                .any(|earlier| earlier.id == def.id)
            {
                report(RuleProblem::DuplicateId);
            }
            let Some(target) = kinds.iter_mut().find(|target| target.kind.id == def.on) else {
                report(RuleProblem::UnknownKind);
                continue;
            };
            match Rule::compile(def, &target.kind) {
                Ok(rule) => target.rules.push(rule),
                Err(problems) => {
                    for (field, error) in problems {
                        report(RuleProblem::Expression(field, error));
                    }
                }
            }
        }
        for target in &mut kinds {
            target.rules.sort_by_key(|rule| rule.def.priority);
        }
        if errors.is_empty() {
            Ok(Definitions { source, kinds })
        } else {
            Err(errors)
        }
    }

    /// As written.
    pub const fn source(&self) -> &DefinitionSource {
        &self.source
    }

    /// The kind with this number and its rules.
    pub fn kind(&self, index: KindIndex) -> Option<&KindRules> {
        self.kinds.get(usize::from(index.0))
    }

    /// The number of the kind called `id`.
    pub fn kind_index(&self, id: &str) -> Option<KindIndex> {
        (0_u16..)
            .zip(&self.kinds)
            .find(|(_, kind)| kind.kind.id == id)
            .map(|(index, _)| KindIndex(index))
    }

    /// All kinds, in number order.
    pub fn kinds(&self) -> impl Iterator<Item = &KindRules> {
        self.kinds.iter()
    }
}
