//! The messages of Sparkplug B as they stand on the wire, as far as they are read or written here. Field numbers are
//! those of the specification's `sparkplug_b.proto`; what is not listed (metadata, properties) is passed over.

use crate::domain::profile::wire::scalar::Scalar;

/// One payload.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Payload {
    /// Milliseconds since 1970, UTC, when it was sent.
    #[prost(uint64, optional, tag = "1")]
    pub(super) timestamp: Option<u64>,
    /// What it reports.
    #[prost(message, repeated, tag = "2")]
    pub(super) metrics: Vec<Metric>,
    /// 0 to 255, one more in each message of the edge node.
    #[prost(uint64, optional, tag = "3")]
    pub(super) seq: Option<u64>,
}

/// One value of a payload.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metric {
    /// Its name; data may leave it out when the birth gave it an alias.
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    /// A number that stands for the name until the next birth.
    #[prost(uint64, optional, tag = "2")]
    pub(super) alias: Option<u64>,
    /// Milliseconds since 1970, UTC, when it was taken.
    #[prost(uint64, optional, tag = "3")]
    pub(super) timestamp: Option<u64>,
    /// How the value is to be read, for example [`INT8`].
    #[prost(uint32, optional, tag = "4")]
    pub(super) datatype: Option<u32>,
    /// It is not the present value.
    #[prost(bool, optional, tag = "5")]
    pub(super) is_historical: Option<bool>,
    /// There is no value.
    #[prost(bool, optional, tag = "7")]
    pub(super) is_null: Option<bool>,
    /// The value.
    #[prost(oneof = "Value", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18")]
    pub(super) value: Option<Value>,
}

/// The forms a value may have.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Value {
    /// Whole numbers of up to 32 bits, negative ones in two's complement.
    #[prost(uint32, tag = "10")]
    Int(u32),
    /// Whole numbers of up to 64 bits, and times.
    #[prost(uint64, tag = "11")]
    Long(u64),
    /// A number of 32 bits.
    #[prost(float, tag = "12")]
    Float(f32),
    /// A number of 64 bits.
    #[prost(double, tag = "13")]
    Double(f64),
    /// True or false.
    #[prost(bool, tag = "14")]
    Bool(bool),
    /// Text.
    #[prost(string, tag = "15")]
    Text(String),
    /// Bytes: no value of a point.
    #[prost(bytes = "vec", tag = "16")]
    Bytes(Vec<u8>),
    /// A table: no value of a point.
    #[prost(bytes = "vec", tag = "17")]
    DataSet(Vec<u8>),
    /// A structure: no value of a point.
    #[prost(bytes = "vec", tag = "18")]
    Template(Vec<u8>),
}

/// Datatype of a signed number of 8 bits.
pub(super) const INT8: u32 = 1;
/// Datatype of a signed number of 16 bits.
pub(super) const INT16: u32 = 2;
/// Datatype of a signed number of 32 bits.
pub(super) const INT32: u32 = 3;
/// Datatype of a signed number of 64 bits.
pub(super) const INT64: u32 = 4;
/// Datatype of true and false.
pub(super) const BOOLEAN: u32 = 11;

impl Value {
    /// The value as a point reads it. Signed numbers travel as unsigned ones: only the datatype tells.
    pub(super) fn scalar(&self, datatype: u32) -> Scalar<'_> {
        match self {
            Value::Int(bits) => Scalar::Int(match datatype {
                INT8 => i64::from(bits.to_le_bytes()[0].cast_signed()),
                INT16 => {
                    let [low, high, _, _] = bits.to_le_bytes();
                    i64::from(i16::from_le_bytes([low, high]))
                }
                INT32 | INT64 => i64::from(bits.cast_signed()),
                _unsigned => i64::from(*bits),
            }),
            Value::Long(bits) => match datatype {
                INT8 | INT16 | INT32 | INT64 => Scalar::Int(bits.cast_signed()),
                _unsigned => Scalar::Unsigned(*bits),
            },
            Value::Float(number) => Scalar::Float(f64::from(*number)),
            Value::Double(number) => Scalar::Float(*number),
            Value::Bool(value) => Scalar::Bool(*value),
            Value::Text(text) => Scalar::Text(text),
            Value::Bytes(_) | Value::DataSet(_) | Value::Template(_) => Scalar::Compound,
        }
    }
}
